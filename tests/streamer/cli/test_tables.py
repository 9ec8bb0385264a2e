from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from streamer.cli.app import load, run
from streamer.cli.training import TrainingOptions
from streamer.models.dataset.folder import write_movie
from streamer.models.training.settings import TrainingSettings
from tests.models.toy import toy_folder, toy_movie

QUICK = (
    "--epochs", "1", "--inner-folds", "2", "--inner-epochs", "1", "--mixer-epochs", "1",
    "--mixer-stride", "10", "--lr", "1e-3", "--jobs", "1", "--quiet",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _threads_as_before() -> object:
    before = torch.get_num_threads()
    yield None
    torch.set_num_threads(before)


@pytest.mark.slow
def test_prints_the_tables_and_names_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        movie = toy_movie(f"m{index}", 20, index, dims={"place": 6, "panns": 5})
        write_movie(tmp_path / "data" / f"m{index}.safetensors", movie)
    out = tmp_path / "out"
    assert run(["tables", str(tmp_path / "data"), "--out", str(out), "--folds", "3", *QUICK]) == 0
    printed = capsys.readouterr()
    assert printed.out.rstrip() == (out / "tables.md").read_text().rstrip()
    assert str(out / "table2.csv") in printed.err.replace("\n", "")


def test_what_cannot_be_done_ends_with_60_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = toy_folder(tmp_path / "data", 1, 20)
    out = tmp_path / "out"
    assert run(["tables", str(folder.path), "--out", str(out), *QUICK]) == 60
    assert "5 folds by movie need at least 5 movies" in " ".join(capsys.readouterr().err.split())
    assert run(["train", str(folder.path), "--out", str(out), "--epochs", "1", "--quiet"]) == 60
    assert "--inner-folds 0" in " ".join(capsys.readouterr().err.split())
    assert not list(out.glob("*.*"))


def test_settings_out_of_range_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = toy_folder(tmp_path / "data", 1, 20)
    arguments = ["tables", str(folder.path), "--out", str(tmp_path / "out"), "--lookahead", "10"]
    assert run(arguments) == 2
    assert "below the sequence's length" in capsys.readouterr().err


def test_train_and_tables_share_options_whose_defaults_are_those_of_the_settings() -> None:
    assert TrainingOptions().settings() == TrainingSettings()
    names = {field.name for field in fields(TrainingOptions)}
    for name in ("train", "tables"):
        defaults = {parameter.name: parameter.default for parameter in load(name).params}
        assert names < defaults.keys()
        assert defaults["inner_folds"] == TrainingSettings().inner_folds
