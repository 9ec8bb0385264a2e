"""What one fold of the comparison leaves behind, as plain values that survive a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from streamer.errors import DatasetError
from streamer.files import write_atomically
from streamer.models.evaluation.metrics import measure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streamer.models.evaluation.metrics import ScoredMovie

METRICS: Final = ("ap", "ap_pooled", "miou", "recall", "precision", "f1", "recall_3s", "f1_half")
OFFLINE: Final = "offline"
"""Sequences that lie end to end, judged at every position, as the paper does."""


class Scores(BaseModel):
    """One system on the test movies of one fold, each within [0, 1].

    Attributes:
        ap: Mean over movies with a scene boundary; None without such a movie.
        ap_pooled: Over the boundaries of all movies together.
        miou: Mean over movies, as are those below.
        recall: Share of true boundaries found.
        precision: Share of found boundaries that are true.
        f1: Harmonic mean of the two.
        recall_3s: Share of true boundaries with a found one within 3 s.
        f1_half: F1 at a threshold of 0.5, which nothing was chosen for.
        threshold: Chosen on the training movies of the fold; of all others but AP.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ap: float | None
    ap_pooled: float | None
    miou: float
    recall: float
    precision: float
    f1: float
    recall_3s: float
    f1_half: float
    threshold: float

    @classmethod
    def of(cls, movies: Sequence[ScoredMovie], threshold: float) -> Scores:
        """The means of a set of movies.

        Args:
            movies: Scored test movies.
            threshold: Chosen on training movies.
        """
        metrics = measure(movies, threshold)
        return cls(
            ap=metrics.ap_mean,
            ap_pooled=metrics.ap_pooled,
            miou=metrics.miou,
            recall=metrics.recall,
            precision=metrics.precision,
            f1=metrics.f1,
            recall_3s=metrics.recall_3s,
            f1_half=measure(movies, 0.5).f1,
            threshold=metrics.threshold,
        )


class WeightTrack(BaseModel):
    """What the mixture decided on one test movie, for the weight analysis.

    Attributes:
        experts: Printed names.
        start: Seconds at which each shot starts.
        end: Seconds at which it ends.
        labels: True scene boundaries after each shot but the last.
        scores: Of each boundary.
        weights: Of each expert at each boundary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experts: tuple[str, ...]
    start: tuple[float, ...]
    end: tuple[float, ...]
    labels: tuple[bool, ...]
    scores: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]


class FoldResult(BaseModel):
    """One fold.

    Attributes:
        test: Movies it was measured on; all others trained.
        rows: Printed name → scores; rows whose aspects are missing are not keys.
        rates: Single system → learning rate chosen.
        alphas: Mixture with a constraint → its scale chosen.
        lookahead: ``0 … L-1`` or ``offline`` → scores of the mixture.
        missing: What was left out → scores of the mixture, its threshold unchanged.
        tracks: Test movie → the mixture's decisions.
        seconds: Stage → time it took in the run that finished the fold.
        cpu: Stage → time of processors, of all processes together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: tuple[str, ...]
    rows: dict[str, Scores]
    rates: dict[str, float]
    alphas: dict[str, float] = {}
    lookahead: dict[str, Scores] = {}
    missing: dict[str, Scores] = {}
    tracks: dict[str, WeightTrack] = {}
    seconds: dict[str, float] = {}
    cpu: dict[str, float] = {}


def save_fold(result: FoldResult, path: Path) -> None:
    """Writes a fold, whole or not at all."""
    write_atomically(path, result.model_dump_json().encode())


def load_fold(path: Path) -> FoldResult:
    """Reads a fold back.

    Raises:
        DatasetError: The file is damaged.
    """
    try:
        return FoldResult.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise DatasetError(f"the result {path} is damaged; delete it to start over") from error
