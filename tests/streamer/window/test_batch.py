"""Many streams in one pass say what each says alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import CheckpointError
from streamer.models.dataset.movie import Movie
from streamer.window.scorer import CausalScorer, Decision, push_many
from tests.models.toy import toy_model, toy_movie

MODEL = toy_model()


def tokens(movie: Movie, shot: int) -> dict[str, np.ndarray]:
    rows = {name: held.shot(shot) for name, held in movie.aspects.items()}
    return {name: row for name, row in rows.items() if len(row)}


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_a_batch_equals_streams_one_by_one(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    movies = [
        toy_movie("m", data.draw(st.integers(1, 20)), seed, missing=0.2) for seed in range(count)
    ]
    lookaheads = [data.draw(st.integers(0, 3)) for _ in movies]
    alone: list[list[Decision]] = []
    for movie, lookahead in zip(movies, lookaheads, strict=True):
        segmenter = CausalScorer(MODEL, lookahead)
        alone.append(
            [d for shot in range(movie.shots) for d in segmenter.push(tokens(movie, shot))]
        )
        alone[-1] += segmenter.finish()
    together: list[list[Decision]] = [[] for _ in movies]
    segmenters = [CausalScorer(MODEL, lookahead) for lookahead in lookaheads]
    for shot in range(max(movie.shots for movie in movies)):
        those = [i for i, movie in enumerate(movies) if shot < movie.shots]
        found = push_many([(segmenters[i], tokens(movies[i], shot)) for i in those])
        for i, decisions in zip(those, found, strict=True):
            together[i] += decisions
    for i, segmenter in enumerate(segmenters):
        together[i] += segmenter.finish()
    for one, many in zip(alone, together, strict=True):
        assert [d.boundary_index for d in one] == [d.boundary_index for d in many]
        assert [d.padded for d in one] == [d.padded for d in many]
        alike = [d.score for d in many]
        np.testing.assert_allclose([d.score for d in one], alike, rtol=0, atol=1e-5)


def test_what_is_refused_changes_nothing() -> None:
    movie = toy_movie("m", 3, 1)
    good, bad = CausalScorer(MODEL), CausalScorer(MODEL)
    assert push_many([]) == []
    with pytest.raises(ValueError, match="one shot at a time"):
        push_many([(good, tokens(movie, 0)), (good, tokens(movie, 1))])
    with pytest.raises(ValueError, match="several mixtures"):
        push_many([(good, tokens(movie, 0)), (CausalScorer(toy_model()), tokens(movie, 0))])
    wrong = {"place": np.zeros((1, 3), np.float32)}
    with pytest.raises(CheckpointError, match="aspect place"):
        push_many([(good, tokens(movie, 0)), (bad, wrong)])
    assert good.state()["counters"][0] == bad.state()["counters"][0] == 0
    bad.finish()
    with pytest.raises(ValueError, match="ended"):
        push_many([(bad, tokens(movie, 0))])
