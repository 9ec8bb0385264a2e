from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from streamer.errors import DatasetError
from streamer.models.checkpoint import load
from streamer.models.dataset.folder import DatasetFolder, write_movie
from streamer.models.evaluation.evaluate import EVERY_SHOT, evaluate
from streamer.models.mixer.mixer import MixerSize
from streamer.models.training.run import train_mixture
from streamer.models.training.settings import TrainingSettings
from tests.models.toy import SMALL, toy_folder, toy_movie

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.models.training.loop import Progress

MIXER = MixerSize(recurrent=6, dense=8, dropout=0.0)


def _settings(**changes: object) -> TrainingSettings:
    quick: dict[str, object] = {
        "epochs": 2,
        "rates": (1e-2,),
        "step": 10,
        "mixer_epochs": 2,
        "mixer_rate": 1e-2,
        "mixer_stride": 5,
        "inner_folds": 0,
        "size": SMALL,
        "mixer_size": MIXER,
    }
    return TrainingSettings.model_validate(quick | changes)


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield None
    torch.set_num_threads(before)


def test_learns_toy_movies_well(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 8, 80, noise=0.2)
    trained = train_mixture(
        folder,
        tmp_path / "out",
        _settings(epochs=12, step=8, mixer_epochs=6, stride=5, drop_aspect=0.0),
        held=("m6", "m7"),
    )
    model = load(trained.checkpoint)
    assert model.digest == trained.sha256
    assert model.config.threshold == trained.threshold
    unseen = [toy_movie(f"t{seed}", 80, 900 + seed, noise=0.2) for seed in range(3)]
    reports = {
        report.name: report.metrics
        for report in evaluate(
            model, unseen, lookahead=model.config.lookahead, training=list(folder.movies())
        )
    }
    assert reports["MOAE_A"].f1 > 0.95
    assert reports["MOAE_A"].f1 > reports[EVERY_SHOT].f1
    card = trained.card.read_text()
    assert trained.sha256 in card
    assert "held out" in card
    report = json.loads((tmp_path / "out" / "moae_a.json").read_text())
    assert set(report["experts"]) == set(model.config.experts)


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 3, 30)
    whole = train_mixture(folder, tmp_path / "whole", _settings(), held=("m2",))

    class Killed(Exception):
        pass

    epochs = 0

    def kill(limit: int) -> object:
        def report(_label: str, _progress: Progress) -> None:
            nonlocal epochs
            epochs += 1
            if epochs >= limit:
                raise Killed

        return report

    for limit in (5, 9, 12):
        epochs = 0
        with pytest.raises(Killed):
            train_mixture(
                folder,
                tmp_path / "out",
                _settings(),
                held=("m2",),
                report=kill(limit),  # type: ignore[arg-type] # typed loosely above
            )
        assert not list((tmp_path / "out").glob("*.safetensors"))
    again = train_mixture(folder, tmp_path / "out", _settings(), held=("m2",))
    assert again.sha256 == whole.sha256
    assert again.threshold == whole.threshold


def test_processes_train_the_same_as_one(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 2, 30)
    settings = _settings(epochs=1, mixer_epochs=1)
    told: list[str] = []
    one = train_mixture(folder, tmp_path / "one", settings)
    two = train_mixture(
        folder, tmp_path / "two", settings, workers=2, report=lambda label, _: told.append(label)
    )
    assert one.sha256 == two.sha256
    assert len(set(told)) == 12


def test_seeds_and_settings_matter(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 2, 30)
    settings = _settings(epochs=1, mixer_epochs=1)
    digests = {
        train_mixture(folder, tmp_path / "out", each).sha256
        for each in (settings, settings.model_copy(update={"seed": 1}), settings)
    }
    assert len(digests) == 2


def test_missing_aspects_leave_experts_out(tmp_path: Path) -> None:
    for index in range(2):
        movie = toy_movie(f"m{index}", 30, index, dims={"place": 6, "panns": 5})
        write_movie(tmp_path / "data" / f"m{index}.safetensors", movie)
    trained = train_mixture(
        DatasetFolder(tmp_path / "data"), tmp_path / "out", _settings(epochs=1, row="MOAE_B")
    )
    config = load(trained.checkpoint).config
    assert config.row == "MOAE_B"
    assert config.experts == ("HLSS_PANNs", "MME_place_PANNs")
    assert set(config.aspects) == {"place", "panns"}


def test_what_cannot_be_learnt_from_is_said(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 2, 12)
    with pytest.raises(DatasetError, match="there is no movie 'other'"):
        train_mixture(folder, tmp_path / "out", _settings(), held=("other",))
    with pytest.raises(DatasetError, match="none to train on"):
        train_mixture(folder, tmp_path / "out", _settings(), held=("m0", "m1"))
    quiet = toy_movie("quiet", 12, 1)
    write_movie(
        tmp_path / "quiet" / "quiet.safetensors",
        type(quiet)(
            "quiet",
            quiet.start,
            quiet.end,
            np.zeros(12, dtype=np.bool_),
            quiet.aspects,
            quiet.extractors,
        ),
    )
    with pytest.raises(DatasetError, match="no training movie has a scene boundary"):
        train_mixture(DatasetFolder(tmp_path / "quiet"), tmp_path / "out", _settings())
    write_movie(tmp_path / "odd" / "a.safetensors", toy_movie("a", 12, 1, dims={"smell": 3}))
    with pytest.raises(DatasetError, match="has only smell"):
        train_mixture(DatasetFolder(tmp_path / "odd"), tmp_path / "out", _settings())
    assert not list((tmp_path / "out").glob("*.safetensors"))
