from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from streamer.cli._arguments import parse_frame_rate
from streamer.cli.datasets import compose, parse_size

APP = typer.Typer()
APP.command()(compose)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for place in ("hall", "yard", "roof"):
        folder = tmp_path / "media" / "places" / place
        folder.mkdir(parents=True)
        for view in range(2):
            blotches = Image.fromarray(rng.integers(0, 255, (4, 6, 3), np.uint8))
            blotches.resize((180, 120)).save(folder / f"{view}.png")
    return tmp_path / "media"


def test_films_are_written_and_named_on_standard_output(media: Path, tmp_path: Path) -> None:
    out = tmp_path / "films"
    arguments = f"--media {media} --out {out} --movies 2 --minutes 0.05 --seed 4 --jobs 1"
    options = ["--size", "96x64", "--fps", "24000/1001", "--sound", "none", "--quiet"]
    result = CliRunner().invoke(APP, [*arguments.split(), *options])
    assert result.exit_code == 0, result.output
    films = [Path(line) for line in result.stdout.splitlines()]
    assert [film.name for film in films] == ["film-4-000.mp4", "film-4-001.mp4"]
    for film in films:
        facts = json.loads(film.with_suffix(".json").read_text("utf-8"))
        assert (facts["width"], facts["height"], facts["rate"]) == (96, 64, "24000/1001")
        assert film.with_suffix(".scenes.csv").exists()
        assert film.with_suffix(".shots.csv").exists()


@pytest.mark.parametrize("options", [["--size", "wide"], ["--fps", "x"], ["--split", "both"]])
def test_wrong_options_are_usage_errors(media: Path, tmp_path: Path, options: list[str]) -> None:
    paths = ["--media", str(media), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(APP, [*paths, *options]).exit_code == 2


def test_sizes_and_rates_are_read_exactly() -> None:
    assert parse_size("480X270") == (480, 270)
    assert parse_frame_rate("24000/1001", "--fps") == Fraction(24000, 1001)
    assert parse_frame_rate("23.976", "--fps") == Fraction(23976, 1000)
    with pytest.raises(typer.BadParameter):
        parse_size("480")
    with pytest.raises(typer.BadParameter):
        parse_frame_rate("1/0", "--fps")
