from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import streamer.models.compose.sample as sample
from streamer.errors import ComposeError
from streamer.models.compose.sample import TONES, draw_tone
from tests.models.compose.conftest import texture

PACKAGES = Path(__file__).parents[3] / "scripts" / "packages-demo.txt"


def test_missing_packages_are_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "PHOTOGRAPHS", tmp_path)
    monkeypatch.setattr(sample, "MUSIC", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ComposeError) as caught:
        sample.compose_sample(tmp_path / "out")
    listed = [line.split("#")[0].strip() for line in PACKAGES.read_text().splitlines()]
    assert sorted(sample.missing_packages()) == sorted(filter(None, listed))
    assert all(package in str(caught.value) for package in listed)
    assert "apt-get install" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [(900, 500), (500, 900), (700, 700)])
def test_views_are_distinct_parts_of_the_photograph(size: tuple[int, int]) -> None:
    photograph = texture(np.random.default_rng(1), *size)
    views = sample.cut_views(photograph)
    assert len(views) == 6
    assert {v.size for v in views} == {(sample.VIEW_WIDTH, round(sample.VIEW_WIDTH / 1.5))}
    small = [np.asarray(v.resize((30, 20), Image.Resampling.BOX), np.float64) for v in views]
    for i, one in enumerate(small):
        assert all(np.abs(one - other).mean() > 5 for other in small[:i])


@pytest.mark.parametrize("name", list(TONES))
def test_tones_are_repeatable_and_bounded(name: str) -> None:
    tone = draw_tone(TONES[name], 2.0, 16_000, 3)
    assert tone.size == 32_000
    assert np.abs(tone).max() == pytest.approx(0.5)
    assert (tone == draw_tone(TONES[name], 2.0, 16_000, 3)).all()


@pytest.mark.slow
@pytest.mark.skipif(bool(sample.missing_packages()), reason="the demo's packages are not installed")
def test_the_sample_is_composed_once(tmp_path: Path) -> None:
    film = sample.compose_sample(tmp_path, 160, 90)
    with (tmp_path / "sample.scenes.csv").open(newline="") as file:
        scenes = list(csv.DictReader(file))
    assert 8 <= len(scenes) <= 10
    assert 160 <= float(scenes[-1]["end"]) <= 200
    written = film.stat().st_mtime_ns
    assert sample.compose_sample(tmp_path, 160, 90) == film
    assert film.stat().st_mtime_ns == written
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".csv", ".json", ".mp4"]
