from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import CheckpointError, StateError
from streamer.models.evaluation.scoring import score_movie
from streamer.window.scorer import CausalScorer
from tests.models.toy import DIMS, toy_model, toy_movie

if TYPE_CHECKING:
    from streamer.models.dataset.movie import Movie
    from streamer.window.scorer import Decision

MODEL = toy_model()


def _tokens(movie: Movie, shot: int) -> dict[str, np.ndarray]:
    rows = {name: held.shot(shot) for name, held in movie.aspects.items()}
    return {name: row for name, row in rows.items() if len(row)}


def _stream(movie: Movie, lookahead: int) -> list[Decision]:
    segmenter = CausalScorer(MODEL, lookahead)
    decisions: list[Decision] = []
    for shot in range(movie.shots):
        decisions += segmenter.push(_tokens(movie, shot))
    decisions += segmenter.finish()
    assert segmenter.finish() == ()
    return decisions


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    shots=st.integers(1, 30),
    lookahead=st.integers(0, 9),
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_equals_batch_inference(shots: int, lookahead: int, seed: int, missing: float) -> None:
    movie = toy_movie("m", shots, seed, missing=missing)
    decisions = _stream(movie, lookahead)
    batch = score_movie(MODEL, movie, lookahead)
    assert [d.boundary_index for d in decisions] == list(range(shots - 1))
    if decisions:
        np.testing.assert_allclose([d.score for d in decisions], batch.scores, rtol=0, atol=1e-5)
        weights = [[vote.weight for vote in d.experts] for d in decisions]
        np.testing.assert_allclose(weights, batch.weights, rtol=0, atol=1e-5)
        absent = [[vote.absent for vote in d.experts] for d in decisions]
        np.testing.assert_array_equal(absent, ~batch.present)


def test_no_shots() -> None:
    assert CausalScorer(MODEL, 3).finish() == ()


@pytest.mark.parametrize("lookahead", [0, 1, 9])
def test_decides_as_soon_as_its_look_ahead_allows(lookahead: int) -> None:
    movie = toy_movie("m", 30, 4)
    segmenter = CausalScorer(MODEL, lookahead)
    assert segmenter.latency_shots == 2 + lookahead
    for shot in range(movie.shots):
        decided = [d.boundary_index for d in segmenter.push(_tokens(movie, shot))]
        due = shot - segmenter.latency_shots
        assert decided == ([due] if due >= 0 else [])
    rest = segmenter.finish()
    assert [d.boundary_index for d in rest] == list(range(30 - segmenter.latency_shots, 29))


def test_says_what_it_looked_at() -> None:
    decisions = _stream(toy_movie("m", 30, 4), 2)
    assert [d.lookahead_shots for d in decisions] == [4] * 26 + [3, 2, 1]
    # Boundary j sees shots j - 8 … j + 4.
    assert [d.padded for d in decisions] == [True] * 8 + [False] * 18 + [True] * 3


def test_votes_are_those_of_the_checkpoint_and_explain_the_score() -> None:
    for decision in _stream(toy_movie("m", 25, 6, missing=0.3), 1):
        assert tuple(vote.name for vote in decision.experts) == MODEL.config.experts
        mixed = sum(vote.weight * vote.probability for vote in decision.experts)
        assert mixed == pytest.approx(decision.score, abs=1e-5)
        assert all(vote.weight == vote.probability == 0 for vote in decision.experts if vote.absent)


def test_experts_without_their_sound_are_absent() -> None:
    movie = toy_movie("m", 12, 6)
    segmenter = CausalScorer(MODEL, 0)
    decisions: list[Decision] = []
    for shot in range(movie.shots):
        tokens = _tokens(movie, shot)
        # No sound before shot 6.
        decisions += segmenter.push(tokens if shot >= 6 else {"place": tokens["place"]})
    decisions += segmenter.finish()
    for decision in decisions:
        absent = [vote.name for vote in decision.experts if vote.absent]
        acoustic = [name for name in MODEL.config.experts if name.startswith("HLSS")]
        assert absent == (acoustic if decision.boundary_index < 6 else [])
        assert sum(vote.weight for vote in decision.experts) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [0, 1, 2, 7, 20])
def test_goes_on_from_a_saved_state(kill: int) -> None:
    movie = toy_movie("m", 20, 8, missing=0.2)
    expected = _stream(movie, 2)
    first = CausalScorer(MODEL, 2)
    decisions: list[Decision] = []
    for shot in range(kill):
        decisions += first.push(_tokens(movie, shot))
    second = CausalScorer(MODEL, 2)
    second.restore(first.state())
    for shot in range(kill, movie.shots):
        decisions += second.push(_tokens(movie, shot))
    decisions += second.finish()
    assert decisions == expected


def test_state_is_bounded_and_plain() -> None:
    movie = toy_movie("m", 40, 8)
    segmenter = CausalScorer(MODEL, 2)
    sizes = []
    for shot in range(movie.shots):
        segmenter.push(_tokens(movie, shot))
        sizes.append(sum(array.nbytes for array in segmenter.state().values()))
    assert len(set(sizes)) == 1
    assert all(array.dtype.kind in "fiub" for array in segmenter.state().values())


def test_foreign_states_are_refused_and_change_nothing() -> None:
    movie = toy_movie("m", 10, 8)
    source = CausalScorer(MODEL, 2)
    for shot in range(5):
        source.push(_tokens(movie, shot))
    state = source.state()
    target = CausalScorer(MODEL, 2)
    wrong = {
        "another checkpoint": {**state, "model": np.frombuffer(b"abc", dtype=np.uint8)},
        "another shape": {**state, "shots.values": state["shots.values"][:, :, 1:]},
        "incomplete": {k: v for k, v in state.items() if k != "boundaries.values"},
        "impossible counters": {**state, "counters": np.array([2, 5, 0, 2])},
        "look-ahead of 4": {**state, "counters": np.array([5, 1, 0, 4])},
    }
    for message, bad in wrong.items():
        with pytest.raises(StateError, match=message):
            target.restore(bad)
    assert target.state().keys() == CausalScorer(MODEL, 2).state().keys()


def test_bad_tokens_are_named() -> None:
    segmenter = CausalScorer(MODEL, 0)
    with pytest.raises(CheckpointError, match=r"place has tokens of shape \(2, 3\)"):
        segmenter.push({"place": np.zeros((2, 3), dtype=np.float32)})
    bad = np.zeros((2, DIMS["panns"]), dtype=np.float32)
    bad[1, 1] = np.nan
    with pytest.raises(ValueError, match="panns"):
        segmenter.push({"panns": bad})
    with pytest.raises(CheckpointError, match="look-ahead of 10"):
        CausalScorer(MODEL, 10)
    segmenter.finish()
    with pytest.raises(ValueError, match="ended"):
        segmenter.push({})
