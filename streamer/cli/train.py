"""``streamer train``: experts and mixer from a dataset folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID

    from models.training.loop import Progress as Done


class Size(StrEnum):
    """Widths of the networks."""

    compact = "compact"
    paper = "paper"


def train(
    dataset: Annotated[Path, typer.Argument(help="Folder of <movie>.safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder that receives checkpoint and model card.")],
    row: Annotated[str, typer.Option(help="Mixture to train, by its printed name.")] = "MOAE_A",
    size: Annotated[Size, typer.Option(help="Widths of the networks.")] = Size.compact,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the experts.")] = 60,
    mixer_epochs: Annotated[int, typer.Option(min=1, help="Epochs of the mixer.")] = 20,
    lr: Annotated[
        list[float] | None, typer.Option(help="Learning rate of the experts; may be repeated.")
    ] = None,
    step: Annotated[
        int, typer.Option(min=1, help="Epoch at which the learning rate is divided by 10.")
    ] = 30,
    mixer_lr: Annotated[float, typer.Option(help="Learning rate of the mixer.")] = 1e-4,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a step.")] = 32,
    stride: Annotated[
        int, typer.Option(min=1, help="Boundaries from one training sequence to the next.")
    ] = 10,
    alpha: Annotated[float, typer.Option(help="Scale of the constraint.")] = 1.0,
    lookahead: Annotated[
        int, typer.Option(min=0, help="Boundaries to wait for beyond the one decided.")
    ] = 1,
    holdout: Annotated[
        str,
        typer.Option(
            help="Movies to choose by: names with commas between them, or a share such as 0.2."
        ),
    ] = "0",
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop an expert after this long without improvement.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is left to chance.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Experts trained at a time; one a core when absent.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Trains a mixture; started again after a kill, it goes on where it was."""
    import os

    import torch
    from pydantic import ValidationError
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from models.dataset.folder import DatasetFolder
    from models.device import pick_device
    from models.experts.size import ExpertSize
    from models.training.memory import memory_errors
    from models.training.run import train_mixture
    from models.training.settings import TrainingSettings
    from streamer.errors import ConfigError

    try:
        settings = TrainingSettings(
            row=row,
            size=ExpertSize.paper() if size is Size.paper else ExpertSize.compact(),
            epochs=epochs,
            mixer_epochs=mixer_epochs,
            step=step,
            rates=tuple(lr) if lr else (1e-3, 1e-4),
            mixer_rate=mixer_lr,
            batch=batch,
            stride=stride,
            alpha=alpha,
            lookahead=lookahead,
            patience=patience,
            seed=seed,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        raise ConfigError(f"{where}: {first['msg']}") from error
    folder = DatasetFolder(dataset)
    chosen = pick_device(device)
    # Several processes on one accelerator would fight for it.
    workers = 1 if chosen != "cpu" else jobs or os.cpu_count() or 1
    if size is Size.compact:
        # Small steps gain nothing from threads and lose much when cores are shared.
        torch.set_num_threads(1)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}  score {task.fields[score]}"),
        TimeElapsedColumn(),
    )
    with (
        memory_errors(),
        Progress(*columns, console=Console(stderr=True), disable=quiet) as progress,
    ):
        tasks: dict[str, TaskID] = {}

        def told(label: str, done: Done) -> None:
            if label not in tasks:
                total = mixer_epochs if label == row else epochs
                tasks[label] = progress.add_task(label, total=total, loss="", score="")
            progress.update(
                tasks[label],
                completed=done.epoch,
                loss=f"{done.losses[-1]:.4f}" if done.losses else "",
                score=f"{done.scores[-1]:.4f}" if done.scores else "",
            )

        trained = train_mixture(
            folder, out, settings, parse_holdout(holdout, folder.names), workers, chosen, told
        )
    metrics = trained.metrics
    Console(stderr=True).print(
        f"{trained.checkpoint}: threshold {trained.threshold:.3f}, F1 {metrics.f1:.4f}, "
        f"Miou {metrics.miou:.4f} on the movies it was chosen on; see {trained.card}"
    )
    typer.echo(trained.checkpoint)


def parse_holdout(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """Reads which movies to hold out.

    Args:
        text: A share within [0, 1), or names with commas between them.
        names: Movies there are, sorted.

    Returns:
        Names. A share takes the movies whose names have the lowest hashes: adding a movie
        moves at most a few others to the other side.

    Raises:
        typer.BadParameter: A share out of range.
    """
    import hashlib

    try:
        share = float(text)
    except ValueError:
        return tuple(name.strip() for name in text.split(",") if name.strip())
    if not 0.0 <= share < 1.0:
        raise typer.BadParameter(f"{text} is not within [0, 1)", param_hint="--holdout")
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return tuple(sorted(ranked[: round(share * len(names))]))
