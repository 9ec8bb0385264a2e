"""Experts that judge movies they were not trained on, for whatever learns from their judgement.

An expert is surer of movies it has fitted than of any other: a mixer (or a stacked classifier, or
a threshold) that learns from such outputs learns to believe experts that will not be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamer.errors import DatasetError
from streamer.models.evaluation.metrics import average_precision
from streamer.models.training.experts import ExpertJob, ExpertOutcome
from streamer.models.training.parallel import train_experts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from streamer.models.dataset.corpus import Corpus
    from streamer.models.training.parallel import Report
    from streamer.models.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class InnerFolds:
    """Training movies in groups, and the experts that know all groups but one.

    Attributes:
        groups: Indices of the movies of each group.
        experts: For each group, row → the expert trained on the other groups.
        rates: Row → learning rate with the highest average precision on the first group.
    """

    groups: tuple[tuple[int, ...], ...]
    experts: tuple[Mapping[str, ExpertOutcome], ...]
    rates: Mapping[str, float]

    def scores(self, row: str) -> dict[int, NDArray[np.float64]]:
        """Movie → probabilities by the expert that does not know it."""
        return {
            movie: scores for group in self.experts for movie, scores in group[row].scores.items()
        }


def inner_groups(train: Sequence[int], count: int) -> tuple[tuple[int, ...], ...]:
    """Deals movies out, one by one; fewer groups where there are fewer movies.

    Args:
        train: Indices of the training movies.
        count: Groups wanted, ≥ 2.

    Raises:
        DatasetError: There is only one movie.
    """
    if len(train) < 2:
        raise DatasetError(
            "inner folds need at least two training movies; streamer train can do without "
            "(--inner-folds 0)"
        )
    return tuple(tuple(train[first::count]) for first in range(min(count, len(train))))


def deal_groups(corpus: Corpus, train: Sequence[int], count: int) -> tuple[tuple[int, ...], ...]:
    """Deals training movies out in the order of their scenes, so that no group takes them all.

    Args:
        corpus: All movies; tokens are not needed.
        train: Indices of the training movies.
        count: See ``inner_groups``.
    """
    ranked = sorted(train, key=lambda movie: (-int(corpus.labels(movie).sum()), movie))
    return inner_groups(ranked, count)


def train_inner_folds(
    corpus: Corpus,
    prepared: Path,
    rows: Sequence[str],
    settings: TrainingSettings,
    train: Sequence[int],
    state: Path,
    workers: int,
    device: str,
    report: Report,
) -> InnerFolds:
    """Trains every expert once a group, on the movies of the other groups.

    Learning rates compete on the first group, whose movies hold the most scenes; only the better
    one trains on the others *(choice)*.

    Args:
        corpus: All movies; tokens are not needed.
        prepared: The whole corpus as a file.
        rows: Printed names of the experts.
        settings: Of the whole training.
        train: Indices of the training movies.
        state: Folder of the states that let it survive a kill.
        workers: Experts trained at a time.
        device: Where training runs.
        report: See ``train_experts``.

    Raises:
        DatasetError: Too few movies, or the movies outside a group have no scene boundary.
    """
    groups = deal_groups(corpus, train, settings.inner_folds)
    for group in groups:
        if not any(corpus.labels(movie).any() for movie in train if movie not in group):
            raise DatasetError(
                f"without {', '.join(corpus.names[movie] for movie in group)} no training movie "
                "has a scene boundary: inner folds need two that have; streamer train can do "
                "without (--inner-folds 0)"
            )

    def job(row: str, rate: float, number: int) -> ExpertJob:
        return ExpertJob(
            row=row,
            rate=rate,
            settings=settings.inner,
            train=tuple(movie for movie in train if movie not in groups[number]),
            held=(),
            state=state / f"{row}-{rate:g}-inner{number}.safetensors",
            device=device,
            judged=groups[number],
            note=f" inner {number + 1}/{len(groups)}",
        )

    contest = [job(row, rate, 0) for row in rows for rate in settings.rates]
    outcomes = train_experts(prepared, contest, workers, report)
    rates = {row: _best_rate(corpus, row, settings.rates, outcomes) for row in rows}
    others = [job(row, rates[row], number) for number in range(1, len(groups)) for row in rows]
    outcomes += train_experts(prepared, others, workers, report)
    experts = tuple(
        {
            outcome.job.row: outcome
            for outcome in outcomes
            if outcome.job.judged == group and outcome.job.rate == rates[outcome.job.row]
        }
        for group in groups
    )
    return InnerFolds(groups, experts, rates)


def _best_rate(
    corpus: Corpus, row: str, rates: Sequence[float], outcomes: Sequence[ExpertOutcome]
) -> float:
    def precision(rate: float) -> float:
        scores = {
            movie: scores
            for outcome in outcomes
            if outcome.job.row == row and outcome.job.rate == rate
            for movie, scores in outcome.scores.items()
        }
        labels = np.concatenate([corpus.labels(movie) for movie in scores])
        return average_precision(labels, np.concatenate(list(scores.values()))) or 0.0

    return max(rates, key=precision)
