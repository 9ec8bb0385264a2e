"""How well predicted scene boundaries match true ones (paper, section III-A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamer.errors import extra

with extra("train"):
    from sklearn.metrics import average_precision_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RECALL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ScoredMovie:
    """One movie's truth and scores.

    Attributes:
        name: Which movie.
        start: Seconds at which each shot starts, ``(shots,)``.
        end: Seconds at which each shot ends, ``(shots,)``.
        labels: True scene boundaries after each shot but the last, bool ``(shots - 1,)``.
        scores: Probability of each, within [0, 1], ``(shots - 1,)``.
        predicted: Decisions that do not follow from the scores and a threshold, bool
            ``(shots - 1,)``; None where they do.
    """

    name: str
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    predicted: NDArray[np.bool_] | None = None

    def decided(self, threshold: float) -> NDArray[np.bool_]:
        """Boundaries reported at or above a threshold, ``(shots - 1,)``."""
        if self.predicted is not None:
            return self.predicted
        above: NDArray[np.bool_] = self.scores >= threshold
        return above


@dataclass(frozen=True, slots=True)
class MovieMetrics:
    """Metrics of one movie, each within [0, 1].

    Attributes:
        name: Which movie.
        boundaries: Boundaries scored.
        true: True scene boundaries among them.
        ap: Area under the precision-recall steps; None without a true boundary.
        miou: Mean of best overlaps, both ways.
        recall: Share of true boundaries found; 0 without a true one.
        precision: Share of found boundaries that are true; 0 when none was found.
        f1: Harmonic mean of the two; 0 when both are.
        recall_3s: Share of true boundaries with a found one within 3 s.
    """

    name: str
    boundaries: int
    true: int
    ap: float | None
    miou: float
    recall: float
    precision: float
    f1: float
    recall_3s: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a set of movies.

    All but ``ap_pooled`` are means over movies; a mean of F1 is not the F1 of mean P and R.

    Attributes:
        threshold: At which boundaries were decided.
        ap_pooled: Over the boundaries of all movies together; None without a true one.
        ap_mean: Over movies that have a true boundary; None when none has.
        miou: Mean over movies.
        recall: Mean over movies.
        precision: Mean over movies.
        f1: Mean over movies.
        recall_3s: Mean over movies.
        movies: One by one.
    """

    threshold: float
    ap_pooled: float | None
    ap_mean: float | None
    miou: float
    recall: float
    precision: float
    f1: float
    recall_3s: float
    movies: tuple[MovieMetrics, ...]


def average_precision(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """Area under the precision-recall curve by the step rule.

    Args:
        labels: True boundaries, bool ``(boundaries,)``.
        scores: Of the same, ``(boundaries,)``; only their order matters.

    Returns:
        Within (0, 1]; None without a true boundary.
    """
    if not labels.any():
        return None
    return float(average_precision_score(labels, scores))


def miou(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    labels: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
) -> float:
    """Mean of the best overlap of each true scene and of each predicted one.

    Scenes are intervals of time, the last one included.

    Args:
        start: Seconds, ``(shots,)``.
        end: Seconds, ``(shots,)``.
        labels: Bool ``(shots - 1,)``.
        predicted: Bool ``(shots - 1,)``.

    Returns:
        Within (0, 1].
    """
    true, found = _scenes(start, end, labels), _scenes(start, end, predicted)
    low = np.maximum(true[:, None, 0], found[None, :, 0])
    high = np.minimum(true[:, None, 1], found[None, :, 1])
    shared = np.maximum(high - low, 0.0)
    union = (true[:, 1] - true[:, 0])[:, None] + (found[:, 1] - found[:, 0])[None] - shared
    overlap = shared / union
    return float((overlap.max(axis=1).mean() + overlap.max(axis=0).mean()) / 2.0)


def recall_within(
    end: NDArray[np.float64],
    labels: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    seconds: float = RECALL_SECONDS,
) -> float:
    """Share of true boundaries with a predicted one at most some seconds away, in media time.

    Args:
        end: Of each shot, seconds, ``(shots,)``; a boundary lies where its shot ends.
        labels: True boundaries, bool ``(shots - 1,)``.
        predicted: Predicted ones, bool ``(shots - 1,)``.
        seconds: Largest distance that counts, ≥ 0.

    Returns:
        Within [0, 1]; 0 without a true boundary or a predicted one.
    """
    true, found = end[:-1][labels], end[:-1][predicted]
    if not true.size or not found.size:
        return 0.0
    distance = np.abs(true[:, None] - found[None]).min(axis=1)
    # Times are sums of decimal fractions: exactly 3 s must not fail by a rounding error.
    return float((distance <= seconds + 1e-9).mean())


def measure_movie(movie: ScoredMovie, threshold: float) -> MovieMetrics:
    """Measures one movie.

    Args:
        movie: Truth and scores.
        threshold: A boundary is predicted at or above this score.
    """
    predicted = movie.decided(threshold)
    hits = int((predicted & movie.labels).sum())
    true, found = int(movie.labels.sum()), int(predicted.sum())
    recall = hits / true if true else 0.0
    precision = hits / found if found else 0.0
    return MovieMetrics(
        name=movie.name,
        boundaries=len(movie.labels),
        true=true,
        ap=average_precision(movie.labels, movie.scores),
        miou=miou(movie.start, movie.end, movie.labels, predicted),
        recall=recall,
        precision=precision,
        f1=2 * precision * recall / (precision + recall) if hits else 0.0,
        recall_3s=recall_within(movie.end, movie.labels, predicted),
    )


def measure(movies: Sequence[ScoredMovie], threshold: float) -> Metrics:
    """Measures a set of movies.

    Args:
        movies: At least one.
        threshold: A boundary is predicted at or above this score.
    """
    each = tuple(measure_movie(movie, threshold) for movie in movies)
    with_truth = [metrics.ap for metrics in each if metrics.ap is not None]
    return Metrics(
        threshold=threshold,
        ap_pooled=average_precision(
            np.concatenate([movie.labels for movie in movies]),
            np.concatenate([movie.scores for movie in movies]),
        ),
        ap_mean=float(np.mean(with_truth)) if with_truth else None,
        miou=float(np.mean([metrics.miou for metrics in each])),
        recall=float(np.mean([metrics.recall for metrics in each])),
        precision=float(np.mean([metrics.precision for metrics in each])),
        f1=float(np.mean([metrics.f1 for metrics in each])),
        recall_3s=float(np.mean([metrics.recall_3s for metrics in each])),
        movies=each,
    )


def best_threshold(movies: Sequence[ScoredMovie]) -> float:
    """Chooses the threshold of the highest mean F1; for training movies, never for test movies.

    Args:
        movies: Scored training movies.

    Returns:
        Within [0, 1]; the middle of the best plateau, for it is the least fragile choice. 0.5
        when there is nothing to choose by.
    """
    tried = np.unique(np.concatenate([movie.scores for movie in movies]))
    if not tried.size:
        return 0.5
    f1 = np.mean([_f1(movie, tried) for movie in movies], axis=0)
    best = last = int(f1.argmax())
    while last + 1 < len(tried) and f1[last + 1] == f1[best]:
        last += 1
    # Thresholds between the score below and the chosen one decide alike.
    below = tried[best - 1] if best else 0.0
    return float(np.clip((below + tried[last]) / 2.0, 0.0, 1.0))


def _f1(movie: ScoredMovie, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of one movie at each threshold."""
    true = np.sort(movie.scores[movie.labels])
    every = np.sort(movie.scores)
    hits = len(true) - np.searchsorted(true, thresholds, side="left")
    found = len(every) - np.searchsorted(every, thresholds, side="left")
    total = found + len(true)
    f1: NDArray[np.float64] = np.where(total > 0, 2 * hits / np.maximum(total, 1), 0.0)
    return f1


def _scenes(
    start: NDArray[np.float64], end: NDArray[np.float64], boundary: NDArray[np.bool_]
) -> NDArray[np.float64]:
    last = np.flatnonzero(np.append(boundary, True))
    first = np.concatenate(([0], last[:-1] + 1))
    return np.stack((start[first], end[last]), axis=1)
