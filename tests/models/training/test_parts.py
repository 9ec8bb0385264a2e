from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from streamer.cli.training import parse_holdout
from streamer.errors import DatasetError
from streamer.models.dataset.corpus import build_corpus
from streamer.models.experts.tokens import Projection
from streamer.models.training.batches import epoch_batches, holes
from streamer.models.training.loop import Progress, Schedule, run_epochs
from streamer.models.training.loss import expert_loss, mixture_loss
from streamer.models.training.memory import memory_errors
from streamer.models.training.settings import TrainingSettings
from tests.models.toy import toy_movie

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.mark.parametrize("stride", [1, 3, 10])
def test_an_epoch_covers_every_boundary(stride: int) -> None:
    movies = [toy_movie("a", 33, 1), toy_movie("b", 5, 2), toy_movie("c", 1, 3)]
    corpus = build_corpus(lambda: iter(movies), {"place": Projection(14, 0)}, 4)
    settings = TrainingSettings(batch=4)
    seen: dict[tuple[int, int], int] = {}
    random = np.random.default_rng(0)
    for batch in epoch_batches(corpus, (0, 1, 2), settings, stride, random):
        assert len(batch.shots) <= 4
        for movie, start, valid in zip(
            batch.movie.tolist(), batch.start.tolist(), batch.valid.tolist(), strict=True
        ):
            for position, real in enumerate(valid):
                if real:
                    key = (movie, start + position)
                    seen[key] = seen.get(key, 0) + 1
    assert sorted(seen) == [(0, j) for j in range(32)] + [(1, j) for j in range(4)]
    counts = set(seen.values())
    # Every boundary counts equally often: once end to end, L times one by one.
    assert counts <= {1: {10}, 3: {3, 4}, 10: {1}}[stride]


@pytest.mark.parametrize(
    ("stride", "phases"), [(10, range(10)), (5, range(5, 10)), (4, (8, 9)), (3, (9,)), (1, (9,))]
)
def test_a_phase_is_drawn_as_far_as_the_stride_leaves_it_open(
    stride: int, phases: Sequence[int]
) -> None:
    corpus = build_corpus(lambda: iter([toy_movie("a", 33, 1)]), {"place": Projection(14, 0)}, 4)
    settings = TrainingSettings(batch=4)
    first = set()
    for seed in range(100):
        batches = epoch_batches(corpus, (0,), settings, stride, np.random.default_rng(seed))
        first.add(-min(min(batch.start.tolist()) for batch in batches))
    assert sorted(first) == list(phases)


@pytest.mark.parametrize(
    ("stride", "starts"),
    [
        (10, [[12, -8, 2, 22], [17, -3, 27, 7]]),
        (
            3,
            [
                [0, -3, -9, 6, 3, 12, 30, 21, 24, 9, 18, 27, 15, -6],
                [-3, 21, 30, 6, 24, 3, -6, -9, 15, 27, 9, 12, 18, 0],
            ],
        ),
    ],
)
def test_sequences_are_those_that_the_shipped_mixture_learned_from(
    stride: int, starts: list[list[int]]
) -> None:
    corpus = build_corpus(lambda: iter([toy_movie("a", 33, 1)]), {"place": Projection(14, 0)}, 4)
    random = np.random.default_rng(0)
    epochs = [epoch_batches(corpus, (0,), TrainingSettings(), stride, random) for _ in range(2)]
    assert [[start for cut in epoch for start in cut.start.tolist()] for epoch in epochs] == starts


def test_holes_are_as_frequent_as_asked() -> None:
    settings = TrainingSettings(drop_aspect=0.2, drop_run=0.3)
    dropped = holes((4000, 13), settings, np.random.default_rng(0))
    everywhere = dropped.all(dim=1).float().mean().item()
    some = dropped.any(dim=1).float().mean().item()
    assert everywhere == pytest.approx(0.2 + 0.3 / 13 / 13, abs=0.03)
    assert some == pytest.approx(0.5, abs=0.03)


def test_expert_loss_is_the_weighted_cross_entropy_of_what_counts() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 2), torch.tensor([[0, 1, 0], [1, 0, 0]])
    counted = torch.tensor([[True, True, False], [True, True, True]])
    expected = nn.CrossEntropyLoss(torch.tensor([1.0, 10.0]))(logits[counted], labels[counted])
    torch.testing.assert_close(expert_loss(logits, labels, counted, 10.0), expected)
    assert expert_loss(logits, labels, counted & False, 10.0).item() == 0.0


def test_mixture_loss_by_hand() -> None:
    score = torch.tensor([[0.8, 0.25]])
    labels = torch.tensor([[1, 0]])
    counted = torch.ones(1, 2, dtype=torch.bool)
    regulariser = torch.tensor([[0.5, 0.1]])
    expected = (10 * -math.log(0.8) * 1.5 + -math.log(0.75) * 1.1) / 11
    loss = mixture_loss(score, labels, counted, 10.0, regulariser)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    certain = mixture_loss(torch.tensor([[0.0, 1.0]]), labels, counted, 10.0, regulariser * 0)
    assert math.isfinite(certain.item())


def _schedule(**changes: object) -> Schedule:
    plain = {"epochs": 6, "rate": 0.1, "step": 3, "decay": 0.0, "patience": None, "seed": 0}
    return Schedule(**(plain | changes))  # type: ignore[arg-type] # keywords as above


def test_keeps_the_best_epoch_divides_the_rate_and_stops_early(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)
    rates: list[float] = []
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4, 0.5])

    def train(epoch: int, optimizer: torch.optim.Optimizer) -> float:
        rates.append(optimizer.param_groups[0]["lr"])
        with torch.no_grad():
            module.bias.fill_(float(epoch))
        return 1.0

    def told(_progress: Progress) -> None:
        return None

    state = tmp_path / "s.safetensors"
    progress = run_epochs(module, _schedule(patience=3), train, lambda: next(scores), state, told)
    assert (progress.epoch, progress.best_epoch, progress.best) == (5, 2, 0.9)
    assert module.bias.item() == 1.0
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01])


def test_without_held_out_movies_the_last_epoch_is_kept(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)

    def train(epoch: int, _optimizer: torch.optim.Optimizer) -> float:
        with torch.no_grad():
            module.bias.fill_(float(epoch))
        return [1.0, 0.1, 0.5][epoch]

    progress = run_epochs(
        module, _schedule(epochs=3), train, None, tmp_path / "s.safetensors", lambda _: None
    )
    assert progress.best_epoch == 3
    assert module.bias.item() == 2.0


def test_divergence_and_damaged_states_are_said(tmp_path: Path) -> None:
    state = tmp_path / "s.safetensors"
    with pytest.raises(DatasetError, match="diverged in epoch 1"):
        run_epochs(nn.Linear(1, 1), _schedule(), lambda *_: math.nan, None, state, lambda _: None)
    assert not state.exists()
    state.write_bytes(b"garbage")
    with pytest.raises(DatasetError, match="is damaged; delete it"):
        run_epochs(nn.Linear(1, 1), _schedule(), lambda *_: 1.0, None, state, lambda _: None)


def test_running_out_of_memory_is_one_clear_error() -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 TB")):
        with pytest.raises(DatasetError, match="smaller --batch"), memory_errors():
            raise error
    with pytest.raises(RuntimeError, match="something else"), memory_errors():
        raise RuntimeError("something else")


def test_holdout_by_name_and_by_share() -> None:
    names = [f"m{i}" for i in range(10)]
    assert parse_holdout("m1, m2", names) == ("m1", "m2")
    assert parse_holdout("0", names) == ()
    some = parse_holdout("0.3", names)
    assert len(some) == 3
    assert parse_holdout("0.3", list(reversed(names))) == some
