from __future__ import annotations

import numpy as np
import pytest

from streamer.errors import CheckpointError, DatasetError
from streamer.models.dataset.movie import AspectTokens, Movie
from streamer.models.evaluation.baselines import every_shot, place_distance, prior, prior_of
from streamer.models.evaluation.evaluate import (
    EVERY_SHOT,
    PLACE_DISTANCE,
    PRIOR,
    as_csv,
    as_json,
    evaluate,
)
from streamer.models.evaluation.metrics import measure
from streamer.models.evaluation.scoring import score_movie
from tests.models.toy import DIMS, toy_model, toy_movie


def _slice(movie: Movie, begin: int, end: int) -> Movie:
    aspects = {
        name: AspectTokens.from_shots([held.shot(i) for i in range(begin, end)], held.dim)
        for name, held in movie.aspects.items()
    }
    part = slice(begin, end)
    return Movie(
        movie.name,
        movie.start[part],
        movie.end[part],
        movie.boundary[part],
        aspects,
        movie.extractors,
    )


@pytest.mark.parametrize("lookahead", [0, 1, 9, None])
@pytest.mark.parametrize("shots", [1, 2, 3, 10, 11, 12, 37])
def test_every_boundary_is_scored_once(shots: int, lookahead: int | None) -> None:
    model = toy_model()
    scores = score_movie(model, toy_movie("m", shots, 1), lookahead)
    assert scores.scores.shape == (shots - 1,)
    assert bool(np.isfinite(scores.scores).all())
    np.testing.assert_allclose(scores.weights.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_padding_never_changes_an_inner_boundary(lookahead: int) -> None:
    model = toy_model()
    movie = toy_movie("m", 50, 2)
    length = model.config.sequence
    whole = score_movie(model, movie, lookahead).scores
    begin, end = 9, 41
    part = score_movie(model, _slice(movie, begin, end), lookahead).scores
    # Shots seen for boundary j: j - (L-1-k) - 1 … j + k + 2.
    first = length - 1 - lookahead + 1
    last = (end - begin) - 1 - (lookahead + 2)
    np.testing.assert_allclose(
        part[first : last + 1], whole[begin + first : begin + last + 1], atol=1e-5
    )
    assert not np.allclose(part[:first], whole[begin : begin + first], atol=1e-5)


def test_aspects_may_come_in_any_order() -> None:
    model, movie = toy_model(), toy_movie("m", 20, 3, missing=0.2)
    turned = Movie(
        movie.name,
        movie.start,
        movie.end,
        movie.boundary,
        dict(reversed(list(movie.aspects.items()))),
        movie.extractors,
    )
    one, two = score_movie(model, movie, 1), score_movie(model, turned, 1)
    np.testing.assert_array_equal(one.scores, two.scores)


def test_experts_without_their_aspect_weigh_nothing() -> None:
    model, movie = toy_model(), toy_movie("m", 20, 3)
    scores = score_movie(model, movie, 1, without=("panns",))
    column = model.config.experts.index("HLSS_PANNs")
    assert not scores.present[:, column].any()
    assert not scores.weights[:, column].any()
    np.testing.assert_allclose(scores.weights.sum(axis=1), 1.0, atol=1e-5)
    assert scores.present[:, model.config.experts.index("MME_place_PANNs")].all()
    deaf = score_movie(model, movie, 1, without=tuple(a for a in DIMS if a != "place"))
    assert deaf.present.sum() == 19 * 5
    nothing = score_movie(model, movie, 1, without=tuple(DIMS))
    assert not nothing.scores.any()
    assert not nothing.weights.any()


def test_tokens_of_another_network_or_length_are_refused() -> None:
    model = toy_model()
    with pytest.raises(CheckpointError, match="aspect place is 5 wide"):
        score_movie(model, toy_movie("m", 5, 1, dims={**DIMS, "place": 5}), 1)
    movie = toy_movie("m", 5, 1)
    other = Movie(
        movie.name,
        movie.start,
        movie.end,
        movie.boundary,
        movie.aspects,
        {**movie.extractors, "panns": "someone-else"},
    )
    with pytest.raises(CheckpointError, match="'someone-else'"):
        score_movie(model, other, 1)
    with pytest.raises(DatasetError, match="none of"):
        score_movie(model, toy_movie("m", 5, 1, dims={"smell": 3}), 1)


def test_baselines() -> None:
    movie = toy_movie("m", 60, 5)
    rate = prior_of([every_shot(movie)])
    assert rate == pytest.approx(movie.labels.mean())
    every = measure([every_shot(movie)], 0.5)
    assert every.recall == 1.0
    assert every.precision == pytest.approx(rate)
    guessed = prior(every_shot(movie), rate)
    assert guessed.predicted is not None
    assert 0 < guessed.predicted.sum() < 59
    again = prior(every_shot(movie), rate)
    np.testing.assert_array_equal(guessed.predicted, again.predicted)
    distance = place_distance(movie).scores
    assert distance[movie.labels].mean() > 2 * distance[~movie.labels].mean()
    assert not place_distance(toy_movie("m", 9, 5, dims={"panns": 3})).scores.any()


def test_evaluation_names_every_system_and_calibrates_on_training_movies() -> None:
    model = toy_model()
    movies = [toy_movie("a", 30, 1), toy_movie("b", 30, 2)]
    reports = evaluate(model, movies, lookahead=1, training=[toy_movie("t", 60, 3)])
    names = [report.name for report in reports]
    assert names == [model.config.row, *model.config.experts, EVERY_SHOT, PLACE_DISTANCE, PRIOR]
    by_name = {report.name: report.metrics for report in reports}
    assert by_name[model.config.row].threshold == model.config.threshold
    assert by_name[PLACE_DISTANCE].f1 > by_name[EVERY_SHOT].f1
    assert PLACE_DISTANCE not in [r.name for r in evaluate(model, movies, lookahead=None)]
    lines = as_csv(reports).splitlines()
    assert len(lines) == 1 + len(reports) * 3
    assert set(as_json(reports)) == set(names)
    with pytest.raises(DatasetError, match="no movie"):
        evaluate(model, [], lookahead=1)
