from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from streamer.errors import DatasetError
from streamer.models.checkpoint import load
from streamer.models.dataset.folder import DatasetFolder, write_movie
from streamer.models.training.inner import inner_groups, train_inner_folds
from streamer.models.training.parallel import train_experts
from streamer.models.training.prepare import CORPUS, prepare
from streamer.models.training.run import train_mixture
from streamer.models.training.settings import TrainingSettings
from tests.models.toy import SMALL, toy_folder, toy_movie

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.models.training.loop import Progress

ROWS = ("HLSS_PANNs", "MME_place_PANNs")


def _settings(**changes: object) -> TrainingSettings:
    quick: dict[str, object] = {
        "epochs": 3,
        "inner_epochs": 2,
        "rates": (1e-2, 1e-6),
        "mixer_epochs": 2,
        "mixer_rate": 1e-2,
        "mixer_stride": 5,
        "inner_folds": 2,
        "size": SMALL,
    }
    return TrainingSettings.model_validate(quick | changes)


def _quiet(_label: str, _progress: Progress) -> None:
    return None


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield None
    torch.set_num_threads(before)


def test_movies_are_dealt_out() -> None:
    assert inner_groups((4, 5, 6, 8, 9), 3) == ((4, 8), (5, 9), (6,))
    assert inner_groups((1, 2), 3) == ((1,), (2,))
    with pytest.raises(DatasetError, match="at least two training movies"):
        inner_groups((1,), 3)


@pytest.mark.parametrize(
    ("epochs", "asked", "inner", "step"), [(60, None, 30, 20), (1, None, 1, 30), (60, 60, 60, 30)]
)
def test_inner_folds_train_for_half_of_the_epochs(
    epochs: int, asked: int | None, inner: int, step: int
) -> None:
    settings = TrainingSettings(epochs=epochs, inner_epochs=asked).inner
    assert (settings.epochs, settings.step) == (inner, step)


def test_a_movie_is_judged_by_experts_that_do_not_know_it(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 4, 40)
    settings, state = _settings(), tmp_path / "state"
    aspects = {name: folder.aspects()[name] for name in ("place", "panns")}
    _, corpus = prepare(folder, {"m0", "m1", "m2", "m3"}, aspects, settings, state)
    inner = train_inner_folds(
        corpus, state / CORPUS, ROWS, settings, (0, 1, 2, 3), state, 1, "cpu", _quiet
    )
    assert sorted(movie for group in inner.groups for movie in group) == [0, 1, 2, 3]
    scenes = [sum(int(corpus.labels(m).sum()) for m in group) for group in inner.groups]
    assert abs(scenes[0] - scenes[1]) <= 8
    # The rate that learns is chosen over the one that stands still.
    assert inner.rates == dict.fromkeys(ROWS, 1e-2)
    for row in ROWS:
        scores = inner.scores(row)
        assert sorted(scores) == [0, 1, 2, 3]
        assert all(len(each) == 39 for each in scores.values())
    for group, known in zip(inner.groups, inner.experts, strict=True):
        for outcome in known.values():
            assert not set(outcome.job.train) & set(group)
            alone = train_experts(state / CORPUS, [outcome.job], 1, _quiet)[0]
            for movie in group:
                np.testing.assert_array_equal(alone.scores[movie], outcome.scores[movie])


def test_the_mixer_changes_and_the_experts_do_not(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 3, 40)
    settings = _settings(rates=(1e-2,))
    with_inner = train_mixture(folder, tmp_path / "out", settings)
    without = train_mixture(
        folder, tmp_path / "none", settings.model_copy(update={"inner_folds": 0})
    )
    one, other = load_file(with_inner.checkpoint), load_file(without.checkpoint)
    assert all(torch.equal(one[name], other[name]) for name in one if not name.startswith("mixer."))
    assert not torch.equal(one["mixer.out.weight"], other["mixer.out.weight"])
    assert load(with_inner.checkpoint).config.threshold == with_inner.threshold


def test_groups_without_which_nothing_is_left_to_learn_are_named(tmp_path: Path) -> None:
    for name, scenes in (("a", True), ("b", False)):
        movie = toy_movie(name, 12, 3)
        boundary = movie.boundary if scenes else np.zeros(12, dtype=np.bool_)
        write_movie(
            tmp_path / "data" / f"{name}.safetensors",
            type(movie)(name, movie.start, movie.end, boundary, movie.aspects, movie.extractors),
        )
    folder = DatasetFolder(tmp_path / "data")
    with pytest.raises(DatasetError, match="without a no training movie has a scene boundary"):
        train_mixture(folder, tmp_path / "out", _settings())
    assert not list((tmp_path / "out").glob("*.safetensors"))
