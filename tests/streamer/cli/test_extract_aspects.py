"""``streamer extract --aspects``: which aspects a dataset holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamer.cli.app import app
from streamer.models.dataset.folder import read_movie
from streamer.models.weights.store import WeightStore
from tests.media import Clip, Recipe, Tone, frames_of, panning, still, texture, write_film

runner = CliRunner()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    recipe = Recipe(sound=Tone(6.0))
    clips = [Clip(panning(1, 160, 90), 75), Clip(still(texture(2, 160, 90)), 75)]
    path = tmp_path / "film.mkv"
    write_film(path, frames_of(clips, recipe.rate), recipe)
    path.with_suffix(".scenes.csv").write_text("start,end\n0,3\n3,6\n")
    return path


def test_named_aspects_and_no_others(film: Path, tmp_path: Path, weight_store: WeightStore) -> None:
    arguments = ["extract", str(film), "--out", str(tmp_path / "set"), "--aspects"]
    result = runner.invoke(app, [*arguments, "cast, action,stft"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    movie = read_movie(tmp_path / "set" / "film.safetensors")
    assert movie.extractors == {"cast": "mtcnn-dlib", "action": "grid-flow", "stft": "ina-smn"}
    assert movie.shots == 2
    # Nobody is seen, and only the first shot moves.
    assert movie.aspects["cast"].lengths.tolist() == [0, 0]
    assert movie.aspects["action"].shot(0)[:, :24].any()
    assert movie.aspects["stft"].lengths.min() > 0


def test_an_unknown_aspect_is_a_usage_error(film: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "set")
    result = runner.invoke(app, ["extract", str(film), "--out", out, "--aspects", "smell"])
    assert result.exit_code == 2
    assert "no aspect is called smell" in result.stderr.replace("\n", " ")
