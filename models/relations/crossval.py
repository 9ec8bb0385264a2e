"""Cross validation by film of relation experts, every choice made on training films."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from streamer.models.dataset.movie import AspectTokens
from streamer.models.evaluation.metrics import ScoredMovie, best_threshold
from streamer.models.relations.expert import (
    INVERSE_PENALTY,
    RelatedMovie,
    RelationExpert,
    fit_expert,
    fuse,
)
from streamer.models.training.settings import seed_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from streamer.models.dataset.movie import Movie
    from streamer.models.relations.features import Vector


@dataclass(frozen=True, slots=True)
class Described:
    """A movie in one dataset.

    Attributes:
        movie: Times and truth.
        related: Its boundaries.
    """

    movie: Movie
    related: RelatedMovie

    @classmethod
    def of(cls, movie: Movie, network: str, ahead: int, aspects: Sequence[str]) -> Described:
        """Describes a movie; see ``RelatedMovie.of``."""
        return cls(movie, RelatedMovie.of(movie, network, ahead, aspects))


def root_histograms(movie: Movie) -> Movie:
    """Takes square roots of tokens that are histograms: their product is the overlap of two."""
    aspects = {
        name: AspectTokens(np.sqrt(np.maximum(held.tokens, 0.0)), held.offsets)
        for name, held in movie.aspects.items()
    }
    return replace(movie, aspects=aspects)


def deal(names: Collection[str], folds: int) -> tuple[tuple[str, ...], ...]:
    """Deals names, sorted, to folds in turn; fewer folds where there are fewer names."""
    ordered = sorted(set(names))
    count = min(folds, len(ordered))
    return tuple(tuple(ordered[first::count]) for first in range(count))


@dataclass(frozen=True, slots=True)
class System:
    """One row: which inputs an expert gets.

    Attributes:
        name: Printed.
        tested: Networks whose scores are joined.
        unseen: Each tested network is absent from the training of its expert.
        aspects: Those that are joined.
        trained: Novelty alone needs no training.
        columns: Inputs the expert may use; None takes all.
    """

    name: str
    tested: tuple[str, ...]
    unseen: bool
    aspects: tuple[str, ...]
    trained: bool = True
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class FoldScores:
    """One system on one fold.

    Attributes:
        movies: Test movies with scores.
        threshold: Chosen on training movies, by experts that saw neither these nor test movies.
    """

    movies: tuple[ScoredMovie, ...]
    threshold: float


Experts = dict[object, RelationExpert]
"""Experts by what they were trained on, so that systems that share one train it once."""


def judge_fold(
    described: Sequence[Described],
    test: Collection[str],
    system: System,
    *,
    ahead: int,
    inner_folds: int = 3,
    penalty: float = INVERSE_PENALTY,
    experts: Experts | None = None,
) -> FoldScores:
    """Scores the test movies of a fold and chooses the threshold.

    Args:
        described: All movies in all datasets; those of the same name are one film.
        test: Names of the test movies.
        system: What to train.
        ahead: Look-ahead shots they were described with.
        inner_folds: Groups of training movies for the threshold, ≥ 2.
        penalty: See ``fit_expert``.
        experts: Filled with what is trained; to be passed again with the same ``described``,
            ``ahead`` and ``penalty`` only.

    Raises:
        DatasetError: Training movies hold nothing to learn from.
    """
    trainer = _Trainer(ahead, penalty, {} if experts is None else experts)
    train = [each for each in described if each.related.name not in test]
    tested = [each for each in described if each.related.name in test]
    scores = _scores(train, tested, system, trainer)
    chosen: list[ScoredMovie] = []
    for held in deal([each.related.name for each in train], inner_folds):
        seen = [each for each in train if each.related.name not in held]
        rest = [each for each in train if each.related.name in held]
        chosen += _scores(seen, rest, system, trainer)
    return FoldScores(tuple(scores), best_threshold(chosen) if chosen else 0.5)


@dataclass(frozen=True, slots=True)
class _Trainer:
    ahead: int
    penalty: float
    experts: Experts

    def expert(
        self, train: Sequence[Described], without: str | None, system: System
    ) -> RelationExpert:
        """Trains on movies, one network left out."""
        used = [each for each in train if each.related.network != without]
        key = (
            tuple((each.related.network, each.related.name) for each in used),
            system.aspects,
            system.columns,
        )
        if key not in self.experts:
            movies = [each.related.only(system.aspects) for each in used]
            self.experts[key] = fit_expert(movies, self.ahead, self.penalty, system.columns)
        return self.experts[key]


def _scores(
    train: Sequence[Described], held: Sequence[Described], system: System, trainer: _Trainer
) -> list[ScoredMovie]:
    logits: dict[str, list[Vector]] = {}
    movies: dict[str, Movie] = {}
    for network in system.tested:
        mine = [each for each in held if each.related.network == network]
        expert = None
        if mine and system.trained:
            expert = trainer.expert(train, network if system.unseen else None, system)
        for each in mine:
            related = each.related
            movies.setdefault(related.name, each.movie)
            for aspect in system.aspects:
                if aspect in related.values:
                    logits.setdefault(related.name, []).append(
                        _as_logits(related.novelty[aspect])
                        if expert is None
                        else expert.logits(related.values[aspect])
                    )
    return [_scored(movies[name], fuse(logits[name])) for name in sorted(logits)]


def _as_logits(novelty: Vector) -> Vector:
    """Novelty, within [0, 2], on the scale on which scores are joined."""
    chance = np.clip(novelty / 2.0, 1e-6, 1.0 - 1e-6)
    logits: Vector = np.log(chance / (1.0 - chance))
    return logits


def _scored(movie: Movie, scores: Vector) -> ScoredMovie:
    return ScoredMovie(movie.name, movie.start, movie.end, movie.labels, scores)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over movies and where it would lie with other movies of the same kind.

    Attributes:
        mean: Over the movies.
        low: 2.5 % of resampled means lie below.
        high: 2.5 % lie above.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """As ``.424 (.39–.46)``."""
        plain = f"{self.mean:.3f} ({self.low:.2f}–{self.high:.2f})"
        return plain.replace("0.", ".")


def bootstrap(values: Mapping[str, float], draws: int, seed: int) -> Interval:
    """Resamples movies.

    Args:
        values: Movie → metric; at least one.
        draws: Resampled means.
        seed: Of the draws.
    """
    array: NDArray[np.float64] = np.array([values[name] for name in sorted(values)])
    random = np.random.default_rng(seed_of(seed, "bootstrap"))
    means = array[random.integers(0, len(array), (draws, len(array)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(array.mean()), float(low), float(high))
