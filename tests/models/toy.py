"""Small movies whose scenes are plain to see and hear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamer.models.dataset.folder import DatasetFolder, write_movie
from streamer.models.dataset.movie import AspectTokens, Movie
from streamer.models.experts.expert import ExpertSize
from streamer.models.mixer.mixer import MixerSize
from streamer.models.mixture import AspectInput, Moae, MoaeConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DIMS: Mapping[str, int] = {
    "place": 14,
    "speaker": 10,
    "vggish": 12,
    "panns": 11,
    "openl3": 9,
    "musicnn": 8,
}

SMALL = ExpertSize(
    projection=8,
    max_tokens=5,
    embedding=12,
    channels=10,
    standard=10,
    recurrent=8,
    hidden=16,
    dropout=0.0,
)


def toy_movie(
    name: str,
    shots: int,
    seed: int,
    *,
    noise: float = 0.3,
    missing: float = 0.0,
    dims: Mapping[str, int] = DIMS,
) -> Movie:
    """A movie in which every aspect keeps a direction through each scene of 2 to 8 shots."""
    random = np.random.default_rng([seed, 77])
    boundary = np.zeros(shots, dtype=np.bool_)
    position = -1
    while position < shots - 1:
        position = min(position + int(random.integers(2, 9)), shots - 1)
        boundary[position] = True
    scene = np.concatenate(([0], np.cumsum(boundary)[:-1]))
    length = random.uniform(1.0, 8.0, shots)
    end = np.cumsum(length)
    aspects = {}
    for aspect, dim in dims.items():
        centres = random.standard_normal((int(scene[-1]) + 1, dim)) * 2.0
        rows = []
        for shot in range(shots):
            count = int(random.integers(1, 8))
            rows.append(
                None
                if random.random() < missing
                else centres[scene[shot]] + noise * random.standard_normal((count, dim))
            )
        aspects[aspect] = AspectTokens.from_shots(rows, dim)
    return Movie(name, end - length, end, boundary, aspects, {a: f"toy-{a}" for a in dims})


def toy_folder(path: Path, movies: int, shots: int, seed: int = 0, **more: float) -> DatasetFolder:
    """A folder of toy movies ``m0``, ``m1``, …"""
    for index in range(movies):
        movie = toy_movie(f"m{index}", shots, seed * 1000 + index, **more)  # type: ignore[arg-type] # floats only
        write_movie(path / f"m{index}.safetensors", movie)
    return DatasetFolder(path)


def toy_config(**changes: object) -> MoaeConfig:
    """Ten small experts on toy aspects."""
    settings: dict[str, object] = {
        "aspects": {a: AspectInput(network=f"toy-{a}", dim=d) for a, d in DIMS.items()},
        "size": SMALL,
        "mixer": MixerSize(recurrent=6, dense=8, dropout=0.0),
    }
    return MoaeConfig.model_validate(settings | changes)


def toy_model(seed: int = 0, **changes: object) -> Moae:
    """A mixture with random weights, livelier than freshly initialised ones."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Moae(toy_config(**changes))
        for parameter in model.parameters():
            parameter.data.mul_(2.5)
    return model
