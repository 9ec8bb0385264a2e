"""``streamer tables``: every row of the paper's tables on one's own movies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.train import Size

if TYPE_CHECKING:
    from models.training.loop import Progress as Done


def tables(
    dataset: Annotated[Path, typer.Argument(help="Folder of <movie>.safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder that receives tables and figures.")],
    folds: Annotated[int, typer.Option(min=2, help="Folds, by movie.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the experts.")] = 60,
    inner_folds: Annotated[
        int, typer.Option(min=2, help="Groups of training movies that thresholds and mixers need.")
    ] = 3,
    inner_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of the experts of these; a third when absent."),
    ] = None,
    mixer_epochs: Annotated[int, typer.Option(min=1, help="Epochs of the mixers.")] = 20,
    lr: Annotated[
        list[float] | None, typer.Option(help="Learning rate of the experts; may be repeated.")
    ] = None,
    step: Annotated[
        int, typer.Option(min=1, help="Epoch at which the learning rate is divided by 10.")
    ] = 30,
    mixer_lr: Annotated[float, typer.Option(help="Learning rate of the mixers.")] = 1e-4,
    mixer_stride: Annotated[
        int, typer.Option(min=1, help="Boundaries from one sequence of a mixer to the next.")
    ] = 1,
    stride: Annotated[
        int, typer.Option(min=1, help="Boundaries from one sequence of an expert to the next.")
    ] = 10,
    alpha: Annotated[float, typer.Option(help="Scale of the constraints.")] = 1.0,
    lookahead: Annotated[
        int, typer.Option(min=0, help="Boundaries to wait for beyond the one decided.")
    ] = 1,
    size: Annotated[Size, typer.Option(help="Widths of the networks.")] = Size.compact,
    films: Annotated[
        Path | None, typer.Option(help="Folder of the films, for key frames in the figure.")
    ] = None,
    movie: Annotated[str | None, typer.Option(help="Movie whose weights are drawn.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is left to chance.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Experts trained at a time; one a core when absent.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Trains and measures every row by cross validation; a killed run goes on where it was."""
    import os

    import torch
    from pydantic import ValidationError
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from models.dataset.folder import DatasetFolder
    from models.device import pick_device
    from models.experts.size import ExpertSize
    from models.tables.run import make_tables
    from models.training.memory import memory_errors
    from models.training.settings import TrainingSettings
    from streamer.errors import ConfigError

    try:
        settings = TrainingSettings(
            size=ExpertSize.paper() if size is Size.paper else ExpertSize.compact(),
            epochs=epochs,
            inner_folds=inner_folds,
            inner_epochs=inner_epochs,
            mixer_epochs=mixer_epochs,
            rates=tuple(lr) if lr else (1e-3, 1e-4),
            step=step,
            mixer_rate=mixer_lr,
            mixer_stride=mixer_stride,
            stride=stride,
            alpha=alpha,
            lookahead=lookahead,
            seed=seed,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        raise ConfigError(f"{where}: {first['msg']}") from error
    chosen = pick_device(device)
    # Several processes on one accelerator would fight for it.
    workers = 1 if chosen != "cpu" else jobs or os.cpu_count() or 1
    if size is Size.compact:
        # Small steps gain nothing from threads and lose much when cores are shared.
        torch.set_num_threads(1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        memory_errors(),
        Progress(
            *columns,
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
        ) as progress,
    ):
        # One line, for a run has hundreds of trainings.
        line = progress.add_task("reading", total=None, loss="")

        def told(label: str, done: Done) -> None:
            progress.update(
                line,
                description=label,
                completed=done.epoch,
                total=mixer_epochs
                if label.endswith("mixers")
                else settings.inner.epochs
                if "inner" in label
                else epochs,
                loss=f"{done.losses[-1]:.4f}" if done.losses else "",
            )

        made = make_tables(
            DatasetFolder(dataset), out, settings, folds, workers, chosen, films, movie, told
        )
    typer.echo(made.markdown)
    for file in made.files:
        typer.echo(file, err=True)
