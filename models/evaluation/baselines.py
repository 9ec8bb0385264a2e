"""What a mixture has to beat."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from streamer.models.evaluation.metrics import ScoredMovie

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streamer.models.dataset.movie import Movie


def every_shot(movie: Movie) -> ScoredMovie:
    """Every shot ends a scene."""
    return _scored(movie, np.ones(movie.shots - 1))


def prior_of(movies: Iterable[ScoredMovie]) -> float:
    """Share of true boundaries among all boundaries of training movies, whatever their scores."""
    labels = np.concatenate([movie.labels for movie in movies])
    return float(labels.mean()) if labels.size else 0.0


def prior(movie: ScoredMovie, rate: float, seed: int = 0) -> ScoredMovie:
    """Knows only how often scenes end: a constant score, decisions drawn at that rate.

    Args:
        movie: Any scores of the movie; they are not looked at.
        rate: From ``prior_of`` the training movies.
        seed: Draws depend on it and on the movie's name.
    """
    digest = hashlib.sha256(f"{seed}:{movie.name}".encode()).digest()
    count = len(movie.labels)
    draws = np.random.default_rng(int.from_bytes(digest[:8], "big")).random(count)
    return replace(movie, scores=np.full(count, rate), predicted=draws < rate)


def place_distance(movie: Movie, aspect: str = "place") -> ScoredMovie:
    """Half the cosine distance between neighbouring shots' mean tokens; 0 where one has none.

    Its threshold is to be chosen on training movies, by ``best_threshold``.
    """
    held = movie.aspects.get(aspect)
    distance = np.zeros(movie.shots - 1)
    if held is not None:
        means = [
            held.shot(row).mean(axis=0, dtype=np.float64) if length else None
            for row, length in enumerate(held.lengths)
        ]
        for row in range(movie.shots - 1):
            before, after = means[row], means[row + 1]
            if before is not None and after is not None:
                norm = float(np.linalg.norm(before) * np.linalg.norm(after))
                cosine = float(before @ after) / norm if norm > 0 else 1.0
                distance[row] = np.clip((1.0 - cosine) / 2.0, 0.0, 1.0)
    return _scored(movie, distance)


def _scored(movie: Movie, scores: NDArray[np.float64]) -> ScoredMovie:
    return ScoredMovie(movie.name, movie.start, movie.end, movie.labels, scores)
