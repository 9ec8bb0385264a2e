from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from streamer.bench import training
from streamer.models.mixer.mixer import MixerSize
from streamer.models.tables.results import FoldResult
from streamer.models.training.settings import TrainingSettings
from tests.models.toy import SMALL

if TYPE_CHECKING:
    from pathlib import Path


def test_every_stage_of_every_fold_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {name: (6, tokens) for name, (_, tokens) in training.ASPECTS.items()}
    monkeypatch.setattr(training, "ASPECTS", small)
    settings = TrainingSettings(
        inner_folds=2, size=SMALL, mixer_size=MixerSize(recurrent=6, dense=8), rates=(1e-3,)
    )
    before = torch.get_num_threads()
    stages = training.measure_training(tmp_path, 5, 103, 1, settings)
    torch.set_num_threads(before)
    assert {stage.name: stage.epochs for stage in stages} == {
        "preparation": 0,
        "experts of the inner folds": 30,
        "experts": 60,
        "relation experts": 0,
        "alphas": 20,
        "mixers": 20,
        "scoring": 0,
    }
    assert all(stage.seconds >= 0 and stage.cpu >= 0 for stage in stages)
    assert sum(stage.cpu for stage in stages) > 0


def test_the_second_epoch_is_stretched_and_the_start_is_not() -> None:
    one, two = (
        FoldResult(test=(), rows={}, rates={}, cpu={"experts": cpu, "mixers": cpu})
        for cpu in (3.0, 4.0)
    )
    cost = training._stretched("experts", one, two, 60, 2)
    assert (cost.cpu, cost.seconds) == (5 * (2 + 60), 5 * (2 + 60) / 2)
    assert training._stretched("mixers", one, two, 20, 2).seconds == 5 * (2 + 20)
    assert training._stretched("experts", one, two, 0, 1).seconds == 15


def test_noise_has_as_many_shots_as_asked(tmp_path: Path) -> None:
    folder = training.make_features(tmp_path, 5, 103)
    assert sum(movie.shots for movie in folder.movies()) == 103
    assert {name: each.dim for name, each in folder.aspects().items()} == {
        name: dim for name, (dim, _) in training.ASPECTS.items()
    }
