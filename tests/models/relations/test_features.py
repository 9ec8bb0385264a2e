from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.models.dataset.movie import AspectTokens, Movie
from streamer.models.relations.expert import RelatedMovie, fit_expert, fuse, model_input
from streamer.models.relations.features import (
    RelationStream,
    context_width,
    mean_token,
    relate_movie,
    rhythm_width,
)
from tests.models.toy import toy_movie

DIMS = {"place": 14, "panns": 11}
ASPECTS = tuple(DIMS)


def _movie(shots: int, seed: int, missing: float = 0.1) -> Movie:
    return toy_movie("m", shots, seed, noise=0.8, missing=missing, dims=DIMS)


def _inputs(movie: Movie, ahead: int) -> list[dict[str, np.ndarray]]:
    rows = relate_movie(movie, ahead, ASPECTS)
    assert [row.index for row in rows] == list(range(movie.shots - 1))
    found = [{a: model_input(row, a, ahead) for a in ASPECTS} for row in rows]
    return [{a: value for a, value in each.items() if value is not None} for each in found]


def _alike(left: list[dict[str, np.ndarray]], right: list[dict[str, np.ndarray]]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for aspect in one:
            np.testing.assert_allclose(one[aspect], other[aspect], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(2, 40), st.integers(0, 1000), st.data())
def test_a_boundary_does_not_depend_on_what_follows_its_look_ahead(
    ahead: int, shots: int, seed: int, data: st.DataObject
) -> None:
    movie = _movie(shots, seed)
    cut = data.draw(st.integers(1, shots))
    rows = relate_movie(movie, ahead, ASPECTS)
    other = _movie(shots, seed + 5000)
    changed = replace(
        movie,
        end=np.where(np.arange(shots) < cut, movie.end, movie.start + 0.3),
        aspects={
            name: AspectTokens.from_shots(
                [(movie if i < cut else other).aspects[name].shot(i) for i in range(shots)], dim
            )
            for name, dim in DIMS.items()
        },
    )
    for row, again in zip(rows, relate_movie(changed, ahead, ASPECTS), strict=True):
        if row.index + ahead < cut:
            assert row.rhythm.tobytes() == again.rhythm.tobytes()
            assert row.similarities.keys() == again.similarities.keys()
            for name, values in row.similarities.items():
                assert values.tobytes() == again.similarities[name].tobytes()


def test_a_boundary_depends_on_the_last_shot_of_its_look_ahead() -> None:
    movie = _movie(30, 3, missing=0.0)
    tokens = movie.aspects["place"]
    shots = [tokens.shot(i) for i in range(movie.shots)]
    shots[22] = -shots[5]
    changed = replace(movie, aspects={"place": AspectTokens.from_shots(shots, 14)})
    before = relate_movie(movie, 2, ["place"])
    after = relate_movie(changed, 2, ["place"])
    differs = [
        one.index
        for one, other in zip(before, after, strict=True)
        if not np.array_equal(one.similarities["place"], other.similarities["place"])
    ]
    assert differs[0] == 20


@pytest.mark.parametrize("scale", [1e-3, 1.0, 250.0])
def test_turning_and_scaling_the_space_changes_nothing(scale: float) -> None:
    movie = _movie(40, 8)
    random = np.random.default_rng(4)
    turned = {}
    for name, held in movie.aspects.items():
        rotation, _ = np.linalg.qr(random.standard_normal((held.dim, held.dim)))
        tokens = (scale * held.tokens.astype(np.float64) @ rotation).astype(np.float64)
        turned[name] = AspectTokens(tokens, held.offsets)
    _alike(_inputs(movie, 2), _inputs(replace(movie, aspects=turned), 2))


def test_networks_may_differ_in_width() -> None:
    movie = _movie(20, 1)
    wider = {
        name: AspectTokens(np.pad(held.tokens, ((0, 0), (0, 9))), held.offsets)
        for name, held in movie.aspects.items()
    }
    _alike(_inputs(movie, 3), _inputs(replace(movie, aspects=wider), 3))


def test_a_stream_says_each_boundary_as_soon_as_it_can() -> None:
    movie = _movie(25, 6)
    stream = RelationStream(ASPECTS, 2)
    streamed = []
    for shot in range(movie.shots):
        vectors = {a: mean_token(held.shot(shot)) for a, held in movie.aspects.items()}
        row = stream.push(vectors, float(movie.end[shot] - movie.start[shot]))
        assert (row is None) == (shot < 2)
        if row is not None:
            assert row.index == shot - 2
            streamed.append(row)
    streamed += stream.finish()
    assert stream.finish() == ()
    expert = fit_expert([RelatedMovie.of(_movie(60, 9), "n", 2, ASPECTS)], 2)
    whole = RelatedMovie.of(movie, "n", 2, ASPECTS)
    batch = fuse([expert.logits(values) for values in whole.values.values()])
    for row, score in zip(streamed, batch, strict=True):
        seen = [model_input(row, a, 2) for a in row.similarities]
        alone = fuse([expert.logits(each[None]) for each in seen if each is not None] or [[np.nan]])  # type: ignore[list-item] # absent
        assert alone[0] == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("shots", [1, 2, 3, 4])
@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_films_shorter_than_the_window(shots: int, ahead: int) -> None:
    rows = relate_movie(_movie(shots, 2, missing=0.0), ahead, ASPECTS)
    assert [row.index for row in rows] == list(range(shots - 1))
    for row in rows:
        assert row.rhythm.shape == (rhythm_width(ahead),)
        assert np.isfinite(row.rhythm).all()
        assert row.similarities.keys() == set(ASPECTS)
        for values in row.similarities.values():
            assert values.shape == (context_width(ahead),)
            assert np.isfinite(values).all()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_vectors_give_finite_relations(value: float) -> None:
    movie = _movie(30, 2)
    tokens = AspectTokens.from_shots([np.full((1, 6), value)] * 30, 6)
    for row in relate_movie(replace(movie, aspects={"place": tokens}), 2, ["place"]):
        assert np.isfinite(row.similarities["place"]).all()
        assert np.isfinite(row.rhythm).all()


def test_values_that_are_not_finite_are_refused() -> None:
    stream = RelationStream(["place"], 2)
    with pytest.raises(ValueError, match="aspect place has a vector that is not finite"):
        stream.push({"place": np.array([1.0, np.nan])}, 2.0)
    with pytest.raises(ValueError, match="length of a shot"):
        stream.push({}, float("nan"))
    assert stream.push({"place": np.ones(2)}, 2.0) is None
    stream.finish()
    with pytest.raises(ValueError, match="the input has ended"):
        stream.push({}, 1.0)


def test_a_first_hour_of_one_shot_is_forgotten_soon() -> None:
    random = np.random.default_rng(0)
    stream = RelationStream(["place"], 2)
    rows = [stream.push({"place": random.standard_normal(8)}, 3600.0)]
    rows += [stream.push({"place": random.standard_normal(8)}, 3.0) for _ in range(40)]
    rhythm = [row.rhythm for row in rows if row is not None]
    assert np.abs(rhythm[-1]).max() < 2.0


def test_novelty_is_high_where_places_change() -> None:
    movie = toy_movie("m", 80, 4, noise=0.05, dims={"place": 14})
    seen = RelatedMovie.of(movie, "n", 2, ["place"])
    novelty, truth = seen.novelty["place"][20:], movie.labels[20:]
    assert novelty[truth].min() > np.median(novelty[~truth])
