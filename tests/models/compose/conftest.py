"""A small media folder, drawn and played by the tests themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from streamer.models.compose.library import Library, scan
from streamer.models.compose.sample import write_wave

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000


def texture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Coloured blotches with some detail: neither flat nor noise."""
    coarse = rng.uniform(20, 235, (6, 9, 3)).astype(np.uint8)
    fine = rng.uniform(-25, 25, (height // 4, width // 4, 3))
    picture = np.asarray(Image.fromarray(coarse).resize((width, height)), np.float64)
    picture += np.kron(fine, np.ones((4, 4, 1)))
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(7)
    index = {}
    for place in range(16):
        folder = root / "places" / f"place{place}"
        folder.mkdir(parents=True)
        for view in range(3):
            texture(rng, 240, 160).save(folder / f"{view}.png")
        group = "twins" if place in (3, 9) else None
        index[f"place{place}"] = {"similar_group": group, "indoor": place % 2 == 0}
    (root / "places" / "index.json").write_text(json.dumps(index))
    y, x = np.mgrid[:120, :120]
    for person in range(8):
        folder = root / "faces" / f"person{person}"
        folder.mkdir(parents=True)
        head = (x - 60) ** 2 + (y - 50) ** 2 < 900
        body = y > 90
        picture = np.full((120, 120, 3), 200, np.uint8)
        picture[head] = rng.integers(60, 200, 3)
        Image.fromarray(picture).save(folder / "0.png")
        Image.fromarray(((head | body) * 255).astype(np.uint8)).save(folder / "0_mask.png")
    time = np.arange(3 * RATE) / RATE
    for name in ("speech", "ambience", "music", "effects"):
        (root / name).mkdir()
    for speaker in range(8):
        tone = np.sin(2 * np.pi * (120 + 25 * speaker) * time) * (np.sin(9 * time) > -0.5)
        write_wave((0.3 * tone).astype(np.float32), RATE, root / f"speech/set__{speaker}-1-2.wav")
    for number in range(8):
        noise = rng.standard_normal(time.size).astype(np.float32)
        write_wave(0.1 * noise, RATE, root / f"ambience/noise{number}.wav")
        chord = np.sin(2 * np.pi * (200 + 40 * number) * np.outer((1, 1.25, 1.5), time)).sum(0)
        write_wave((0.1 * chord).astype(np.float32), RATE, root / f"music/piece{number}.wav")
    for recording in range(6):
        for letter in "AB":
            click = np.exp(-40 * time) * np.sin(2 * np.pi * 900 * time)
            path = root / f"effects/set__1-{1000 + recording}-{letter}.wav"
            write_wave((0.5 * click).astype(np.float32), RATE, path)
    return root


@pytest.fixture(scope="session")
def library(media: Path) -> Library:
    return scan(media)
