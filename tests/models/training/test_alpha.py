from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from streamer.models.mixture import Moae
from streamer.models.training.alpha import choose_alphas
from streamer.models.training.mixer import relate_corpus
from streamer.models.training.prepare import prepare
from streamer.models.training.run import mixture_config
from streamer.models.training.settings import TrainingSettings
from tests.models.toy import SMALL, toy_folder

if TYPE_CHECKING:
    from pathlib import Path

ROWS = ["MOAE", "MOAE_Dvar", "MOAE_Masking"]


def _choose(tmp_path: Path, movies: int, alphas: tuple[float, ...]) -> tuple[dict[str, float], int]:
    torch.set_num_threads(1)
    folder = toy_folder(tmp_path / "data", movies, 40)
    settings = TrainingSettings(
        alphas=alphas, mixer_epochs=2, mixer_rate=0.1, size=SMALL, mixer_stride=4
    )
    used = folder.aspects()
    state = tmp_path / "state"
    _, corpus = prepare(folder, set(folder.names), used, settings, state)
    torch.manual_seed(1)
    experts = ["HLSS_PANNs", "MME_place_PANNs"]
    needed = {name: used[name] for name in ("place", "panns")}
    trained = Moae(mixture_config(settings, needed, experts, "MOAE", 1.0)).state_dict()

    def make(row: str, alpha: float) -> Moae:
        model = Moae(mixture_config(settings, needed, experts, row, alpha))
        model.load_state_dict(trained)
        return model

    model = make("MOAE", 1.0)
    every = tuple(range(movies))
    relations = {movie: relate_corpus(model, corpus, movie) for movie in every}
    epochs = 0

    def report(_progress: object) -> None:
        nonlocal epochs
        epochs += 1

    chosen = choose_alphas(
        make, ROWS, corpus, relations, settings, every, state / "a.safetensors", report, {}
    )
    return chosen, epochs


def test_a_scale_is_chosen_for_rows_with_a_constraint(tmp_path: Path) -> None:
    chosen, epochs = _choose(tmp_path, 4, (1.0, 0.1, 1000.0))
    assert epochs == 2
    assert chosen["MOAE"] == chosen["MOAE_Masking"] == 1.0
    assert chosen["MOAE_Dvar"] in (1.0, 0.1, 1000.0)
    again, epochs = _choose(tmp_path / "again", 4, (1000.0, 1.0, 0.1))
    assert again["MOAE_Dvar"] == chosen["MOAE_Dvar"]


@pytest.mark.parametrize(("movies", "alphas"), [(1, (0.1, 1.0)), (4, (0.1,))])
def test_without_a_choice_the_first_scale_is_taken(
    tmp_path: Path, movies: int, alphas: tuple[float, ...]
) -> None:
    assert _choose(tmp_path, movies, alphas) == (dict.fromkeys(ROWS, 0.1), 0)
