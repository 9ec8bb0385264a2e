from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.models.evaluation.metrics import (
    ScoredMovie,
    best_threshold,
    measure,
    measure_movie,
    miou,
    recall_within,
)

GOLDEN_TRUTH = [int(c) for c in "001000100"]
GOLDEN_SCORES = [0.1, 0.2, 0.8, 0.3, 0.6, 0.1, 0.4, 0.2, 0.1]


def _movie(
    truth: list[int], scores: list[float], name: str = "m", length: float = 10.0
) -> ScoredMovie:
    start = np.arange(len(truth) + 1, dtype=np.float64) * length
    return ScoredMovie(
        name, start, start + length, np.array(truth, dtype=np.bool_), np.array(scores)
    )


def test_golden_vector() -> None:
    metrics = measure_movie(_movie(GOLDEN_TRUTH, GOLDEN_SCORES), 0.5)
    assert metrics.ap == pytest.approx(0.833333, abs=1e-6)
    assert metrics.miou == pytest.approx(0.7, abs=1e-6)
    assert (metrics.precision, metrics.recall, metrics.f1) == (0.5, 0.5, 0.5)
    assert (metrics.boundaries, metrics.true) == (9, 2)


def test_means_over_movies_are_not_the_metrics_of_the_means() -> None:
    one = _movie([1, 0, 0, 0], [0.9, 0.1, 0.1, 0.1], "one")
    two = _movie([1, 1, 1, 0], [0.9, 0.1, 0.1, 0.8], "two")
    metrics = measure([one, two], 0.5)
    assert metrics.precision == pytest.approx(0.75)
    assert metrics.recall == pytest.approx((1 + 1 / 3) / 2)
    assert metrics.f1 == pytest.approx((1 + 0.4) / 2)
    assert metrics.ap_mean == pytest.approx(np.mean([m.ap for m in metrics.movies]))
    assert metrics.ap_pooled != pytest.approx(metrics.ap_mean)


def test_a_movie_of_one_scene() -> None:
    quiet = measure_movie(_movie([0, 0, 0], [0.1, 0.2, 0.1]), 0.5)
    assert quiet.ap is None
    assert (quiet.miou, quiet.f1, quiet.recall, quiet.precision) == (1.0, 0.0, 0.0, 0.0)
    noisy = measure_movie(_movie([0, 0, 0], [0.1, 0.9, 0.1]), 0.5)
    assert noisy.miou == pytest.approx(0.5)
    assert measure([_movie([0, 0], [0.1, 0.2])], 0.5).ap_mean is None


def test_two_shots_and_one() -> None:
    assert measure_movie(_movie([1], [0.9]), 0.5).f1 == 1.0
    assert measure_movie(_movie([], []), 0.5).miou == 1.0


def test_recall_in_seconds_not_in_shots() -> None:
    truth = np.array([1, 0, 0, 0], dtype=np.bool_)
    found = np.array([0, 1, 0, 0], dtype=np.bool_)
    assert recall_within(np.array([1.0, 4.0, 9.0, 10.0, 11.0]), truth, found) == 1.0
    assert recall_within(np.array([1.0, 4.1, 9.0, 10.0, 11.0]), truth, found) == 0.0
    assert recall_within(np.array([1.0, 4.0, 9.0, 10.0, 11.0]), truth, ~truth & False) == 0.0


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 2**31))
def test_the_truth_scores_one_everywhere(truth: list[bool], seed: int) -> None:
    random = np.random.default_rng(seed)
    end = np.cumsum(random.uniform(0.5, 9.0, len(truth) + 1))
    labels = np.array(truth)
    start = np.concatenate(([0.0], end[:-1]))
    assert miou(start, end, labels, labels) == pytest.approx(1.0)
    metrics = measure_movie(ScoredMovie("m", start, end, labels, labels.astype(float)), 0.5)
    assert metrics.f1 == (1.0 if labels.any() else 0.0)
    assert metrics.recall_3s == metrics.recall


@settings(deadline=None)
@given(
    st.lists(st.booleans(), min_size=2, max_size=20),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_miou_is_symmetric_and_bounded(truth: list[bool], found: list[bool]) -> None:
    labels, predicted = np.array(truth), np.array(found[: len(truth)])
    end = np.arange(1, len(truth) + 2, dtype=np.float64) * 2.5
    one = miou(end - 2.5, end, labels, predicted)
    assert one == pytest.approx(miou(end - 2.5, end, predicted, labels))
    assert 0.0 < one <= 1.0


def test_best_threshold_separates_and_lies_between() -> None:
    movies = [_movie([0, 1, 0], [0.1, 0.6, 0.2]), _movie([1, 0, 0], [0.7, 0.3, 0.1])]
    threshold = best_threshold(movies)
    assert 0.3 < threshold <= 0.6
    assert measure(movies, threshold).f1 == 1.0
    assert best_threshold([_movie([], [])]) == 0.5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_no_other_threshold_is_better(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = (random.random(40) < 0.3).astype(int).tolist()
    movies = [_movie(truth, random.random(40).tolist())]
    best = measure(movies, best_threshold(movies)).f1
    tried = [measure(movies, t).f1 for t in (*movies[0].scores, 0.0, 1.0)]
    assert best >= max(tried) - 1e-12
