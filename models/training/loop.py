"""Epochs that survive a kill."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from streamer.errors import DatasetError
from streamer.files import write_atomically
from streamer.models.training.settings import seed_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Schedule:
    """One module's training.

    Attributes:
        epochs: How many.
        rate: Learning rate.
        step: Epoch at which it is divided by 10; 0 never.
        decay: Weight decay.
        patience: Epochs without improvement before stopping; None never stops.
        seed: Of everything drawn, weights apart.
    """

    epochs: int
    rate: float
    step: int
    decay: float
    patience: int | None
    seed: int


@dataclass(slots=True)
class Progress:
    """How far a training is.

    Attributes:
        epoch: Epochs done.
        best_epoch: Epoch of the kept weights, from 1; 0 before the first.
        best: Its score on held-out movies, or minus the training loss without such movies.
        losses: Mean training loss of each epoch.
        scores: Score of each epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    best: float = -math.inf
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def run_epochs(
    module: nn.Module,
    schedule: Schedule,
    train: Callable[[int, torch.optim.Optimizer], float],
    validate: Callable[[], float] | None,
    state: Path,
    report: Callable[[Progress], None],
) -> Progress:
    """Trains a module with Adam, from where an earlier run was killed.

    After every epoch the whole state is replaced atomically; a run that goes on gives the same
    weights, bit for bit, as one that was never killed (on CPUs of one kind).

    Args:
        module: Holds fresh weights on entry, the kept ones on return.
        schedule: How long and how fast.
        train: One epoch: its number (from 0) and the optimiser → mean loss.
        validate: Score of the present weights, higher is better; None keeps the last epoch.
        state: Safetensors file of the state.
        report: Called after every epoch.

    Returns:
        The finished progress.

    Raises:
        DatasetError: The loss is not finite.
    """
    optimizer = torch.optim.Adam(
        module.parameters(), lr=schedule.rate, weight_decay=schedule.decay, fused=True
    )
    best = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    progress = Progress()
    if state.exists():
        progress = _restore(state, module, optimizer, best)
        report(progress)
    while progress.epoch < schedule.epochs and not _exhausted(progress, schedule):
        for group in optimizer.param_groups:
            late = 0 < schedule.step <= progress.epoch
            group["lr"] = schedule.rate * (0.1 if late else 1.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(schedule.seed, progress.epoch))
            module.train()
            loss = train(progress.epoch, optimizer)
        module.eval()
        if not math.isfinite(loss):
            raise DatasetError(f"training diverged in epoch {progress.epoch + 1}: loss {loss}")
        score = math.inf if validate is None else validate()
        progress.epoch += 1
        progress.losses.append(loss)
        progress.scores.append(-loss if validate is None else score)
        if validate is None or score > progress.best:
            progress.best = progress.scores[-1]
            progress.best_epoch = progress.epoch
            best = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        _keep(state, module, optimizer, best, progress)
        report(progress)
    module.load_state_dict(best)
    module.eval()
    return progress


def _exhausted(progress: Progress, schedule: Schedule) -> bool:
    if schedule.patience is None:
        return False
    return progress.epoch - progress.best_epoch >= schedule.patience


def _keep(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    progress: Progress,
) -> None:
    tensors = {f"now.{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    told = {
        "epoch": progress.epoch,
        "best_epoch": progress.best_epoch,
        "best": progress.best,
        "losses": progress.losses,
        "scores": progress.scores,
    }
    write_atomically(path, save(plain, metadata={"progress": json.dumps(told)}))


def _restore(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
) -> Progress:
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})["progress"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no iterator
        module.load_state_dict(_under("now.", tensors))
        best.update(_under("best.", tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("adam.", tensors).items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
        layout = optimizer.state_dict()
        optimizer.load_state_dict({"state": moments, "param_groups": layout["param_groups"]})
        return Progress(**told)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DatasetError(
            f"the training state {path} is damaged; delete it to start over ({error})"
        ) from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
