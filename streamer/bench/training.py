"""Estimate the time to train every row from two epochs of one fold on made-up features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from streamer.models.dataset.folder import DatasetFolder, write_movie
from streamer.models.dataset.movie import AspectTokens, Movie
from streamer.models.tables.fold import run_fold
from streamer.models.tables.folds import make_folds
from streamer.models.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streamer.models.tables.results import FoldResult

ASPECTS: Final[Mapping[str, tuple[int, float]]] = {
    "place": (2048, 2.1),
    "cast": (512, 1.0),
    "action": (512, 1.0),
    "stft": (512, 1.0),
    "speaker": (512, 1.8),
    "vggish": (1024, 3.0),
    "panns": (2048, 1.3),
    "openl3": (512, 1.1),
    "musicnn": (512, 1.1),
}
"""Aspect → length of a token and mean tokens a shot, as in composed films."""
FOLDS: Final = 5
_STAGES: Final[Mapping[str, str]] = {
    "experts of the inner folds": "inner",
    "experts": "experts",
    "alphas": "mixer",
    "mixers": "mixer",
}
_SIDE_BY_SIDE: Final = ("experts of the inner folds", "experts")


@dataclass(frozen=True, slots=True)
class StageCost:
    """Hold the time of one stage of training, summed over all folds.

    Attributes:
        name: Which.
        epochs: Of each training in it; 0 where there are none.
        cpu: Seconds of processors.
        seconds: How long that takes on free processors, experts side by side.
    """

    name: str
    epochs: int
    cpu: float
    seconds: float


def measure_training(
    folder: Path, movies: int, shots: int, workers: int, settings: TrainingSettings
) -> tuple[StageCost, ...]:
    """Measure one fold at one and at two epochs, and extrapolate to all epochs.

    Seconds of processors are what is measured: whatever else runs on the machine takes none of
    them away.

    Args:
        folder: Empty; receives features and states.
        movies: How many.
        shots: Of all movies together.
        workers: Experts trained at a time.
        settings: Of the whole training, with inner folds.

    Returns:
        Stages of ``FOLDS`` folds.
    """
    torch.set_num_threads(1)
    dataset = make_features(folder / "features", movies, shots)
    test = make_folds(dataset.names, FOLDS, settings.seed)[0]

    def run(epochs: int) -> FoldResult:
        short = settings.model_copy(
            update={"epochs": epochs, "inner_epochs": epochs, "mixer_epochs": epochs}
        )
        state = folder / f"state{epochs}"
        return run_fold(dataset, test, short, state, workers, "cpu", lambda *_: None)

    one, two = run(1), run(2)
    epochs = {
        "inner": settings.inner.epochs,
        "experts": settings.epochs,
        "mixer": settings.mixer_epochs,
    }
    return tuple(
        _stretched(stage, one, two, epochs.get(_STAGES.get(stage, ""), 0), workers)
        for stage in one.cpu
    )


def make_features(folder: Path, movies: int, shots: int) -> DatasetFolder:
    """Write movies of normal noise with scenes of eight shots; they cost as much as real ones.

    Args:
        folder: Where to.
        movies: How many.
        shots: Of all movies together.
    """
    random = np.random.default_rng(0)
    for number in range(movies):
        count = shots * (number + 1) // movies - shots * number // movies
        end = np.cumsum(random.uniform(1.0, 8.0, count))
        boundary = np.arange(count) % 8 == 7
        aspects = {
            name: AspectTokens.from_shots(
                [
                    random.standard_normal((1 + random.poisson(mean - 1.0), dim), dtype=np.float32)
                    for _ in range(count)
                ],
                dim=dim,
            )
            for name, (dim, mean) in ASPECTS.items()
        }
        movie = Movie(
            name=f"noise{number:02d}",
            start=np.concatenate(([0.0], end[:-1])),
            end=end,
            boundary=boundary,
            aspects=aspects,
            extractors=dict.fromkeys(aspects, "noise"),
        )
        write_movie(folder / f"{movie.name}.safetensors", movie)
    return DatasetFolder(folder)


def _stretched(
    stage: str, one: FoldResult, two: FoldResult, epochs: int, workers: int
) -> StageCost:
    first, step = one.cpu[stage], max(0.0, two.cpu[stage] - one.cpu[stage])
    cpu = FOLDS * (max(0.0, first - step) + step * epochs if epochs else first)
    return StageCost(stage, epochs, cpu, cpu / workers if stage in _SIDE_BY_SIDE else cpu)
