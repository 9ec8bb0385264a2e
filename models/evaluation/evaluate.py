"""A checkpoint measured beside its own experts and the baselines."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from streamer.errors import DatasetError
from streamer.models.evaluation.baselines import every_shot, place_distance, prior, prior_of
from streamer.models.evaluation.metrics import Metrics, ScoredMovie, best_threshold, measure
from streamer.models.evaluation.scoring import score_movie

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from streamer.models.dataset.movie import Movie
    from streamer.models.mixture import Moae

EVERY_SHOT = "every shot"
PRIOR = "prior"
PLACE_DISTANCE = "place distance"


@dataclass(frozen=True, slots=True)
class SystemReport:
    """One line of the comparison.

    Attributes:
        name: Printed name of a row, or a baseline.
        metrics: On the movies evaluated.
    """

    name: str
    metrics: Metrics


def evaluate(
    model: Moae,
    movies: Iterable[Movie],
    *,
    lookahead: int | None,
    threshold: float | None = None,
    training: Iterable[Movie] | None = None,
    without: Collection[str] = (),
) -> tuple[SystemReport, ...]:
    """Measures a mixture, each of its experts, and baselines on the same movies.

    Args:
        model: From a checkpoint.
        movies: Movies that took no part in training.
        lookahead: Boundaries waited for beyond the decided one; None judges offline, in
            sequences that lie end to end.
        threshold: Of the mixture; None takes the checkpoint's.
        training: Movies on which the thresholds of the experts and of the place distance, and
            the prior, are determined; without them experts use 0.5 and these baselines are
            left out.
        without: Aspects to leave out, as if no movie had them.

    Returns:
        The mixture first, then experts, then baselines.
    """
    scored = score_systems(model, movies, lookahead, without)
    thresholds = dict.fromkeys(scored, 0.5)
    if training is None:
        del scored[PLACE_DISTANCE]
    else:
        known = score_systems(model, training, lookahead, without)
        thresholds = {name: best_threshold(each) for name, each in known.items()}
        rate = prior_of(known[EVERY_SHOT])
        scored[PRIOR] = [prior(movie, rate) for movie in scored[EVERY_SHOT]]
        thresholds[PRIOR] = 0.5
    thresholds[EVERY_SHOT] = 0.5
    thresholds[model.config.row] = model.config.threshold if threshold is None else threshold
    return tuple(
        SystemReport(name, measure(each, thresholds[name])) for name, each in scored.items()
    )


def score_systems(
    model: Moae, movies: Iterable[Movie], lookahead: int | None, without: Collection[str] = ()
) -> dict[str, list[ScoredMovie]]:
    """Scores movies by a mixture, each of its experts alone, and the baselines without a prior.

    Args:
        model: From a checkpoint.
        movies: Read one at a time.
        lookahead: See ``evaluate``.
        without: See ``evaluate``.

    Raises:
        DatasetError: There is no movie.
    """
    scored: dict[str, list[ScoredMovie]] = {}
    for movie in movies:
        mixture = score_movie(model, movie, lookahead, without)
        whole = mixture.of(movie)
        scored.setdefault(model.config.row, []).append(whole)
        for column, name in enumerate(model.config.experts):
            alone = mixture.probability[:, column]
            scored.setdefault(name, []).append(replace(whole, scores=alone))
        scored.setdefault(EVERY_SHOT, []).append(every_shot(movie))
        scored.setdefault(PLACE_DISTANCE, []).append(place_distance(movie))
    if not scored:
        raise DatasetError("there is no movie to score")
    return scored


def as_json(reports: Sequence[SystemReport]) -> dict[str, object]:
    """The comparison as plain values, every movie included."""
    return {report.name: asdict(report.metrics) for report in reports}


def as_csv(reports: Sequence[SystemReport]) -> str:
    """The comparison as CSV: a line a system and movie, and one ``mean`` line a system."""
    text = io.StringIO()
    columns = ("ap", "miou", "recall", "precision", "f1", "recall_3s")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("system", "movie", "threshold", *columns, "ap_pooled"))
    for report in reports:
        metrics = report.metrics
        for movie in metrics.movies:
            values = [_cell(getattr(movie, column)) for column in columns]
            writer.writerow((report.name, movie.name, _cell(metrics.threshold), *values, ""))
        means = [metrics.ap_mean, *(getattr(metrics, column) for column in columns[1:])]
        writer.writerow(
            (
                report.name,
                "mean",
                _cell(metrics.threshold),
                *map(_cell, means),
                _cell(metrics.ap_pooled),
            )
        )
    return text.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
