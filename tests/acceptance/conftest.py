"""A checkpoint for the default slots, and small films with known cuts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import torch

from streamer.config.sections import AspectsSection
from streamer.models.catalogue import EXPERT_ROWS
from streamer.models.checkpoint import save_moae
from streamer.models.mixture import AspectInput, Moae, MoaeConfig
from streamer.models.networks.registry import architecture
from tests.acceptance.command import Tail
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.media import Recipe, Tone, write_film

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.models.weights.store import WeightStore


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten experts and a mixer for the default slots, with seeded random weights."""
    slots = AspectsSection().slots
    networks = {aspect: slots[aspect].network for row in EXPERT_ROWS for aspect in row.aspects}
    aspects = {
        slot: AspectInput(network=network, dim=architecture(network).dim)
        for slot, network in networks.items()
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = Moae(MoaeConfig(aspects=aspects))
        for parameter in model.parameters():
            # Livelier than fresh ones, so that scores differ from boundary to boundary.
            parameter.data.mul_(2.5)
        for aspect in aspects:
            basis = model.projection(aspect).basis
            assert basis is not None
            torch.nn.init.normal_(basis, std=2 * len(basis) ** -0.5)
    path = tmp_path_factory.mktemp("checkpoint") / "moae.safetensors"
    save_moae(model, path)
    return path


@pytest.fixture
def tail(
    checkpoint: Path,
    weight_store: WeightStore,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Tail:
    """The command, free of what the environment says."""
    for name in [name for name in os.environ if name.startswith("STREAMER__")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("STREAMER_CONFIG", raising=False)
    return Tail(str(checkpoint), capfd)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight shots of 1.2 s with sound throughout."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    write_film(path, pictures(), Recipe(rate=RATE, sound=Tone(SHOTS * 1.2)))
    return path


@pytest.fixture(scope="session")
def silent_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures without a sound track."""
    path = tmp_path_factory.mktemp("film") / "silent.mkv"
    write_film(path, pictures(), Recipe(rate=RATE))
    return path


@pytest.fixture(scope="session")
def one_shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shot of two seconds."""
    path = tmp_path_factory.mktemp("film") / "one.mp4"
    write_film(path, pictures(shots=1, frames=50), Recipe(rate=RATE, sound=Tone(2.0)))
    return path
