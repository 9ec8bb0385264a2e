"""Options and progress that ``streamer train`` and ``streamer tables`` share."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamer.models.training.loop import Progress as Done
    from streamer.models.training.parallel import Report
    from streamer.models.training.settings import TrainingSettings


class Size(StrEnum):
    """Widths of the networks."""

    compact = "compact"
    paper = "paper"


SizeOption = Annotated[Size, typer.Option("--size", help="Widths of the networks.")]
Epochs = Annotated[int, typer.Option(min=1, help="Epochs of the experts.")]
MixerEpochs = Annotated[int, typer.Option(min=1, help="Epochs of the mixer.")]
InnerEpochs = Annotated[
    int | None,
    typer.Option(min=1, help="Epochs of the experts of inner folds; half when absent."),
]
Rates = Annotated[
    list[float] | None,
    typer.Option("--lr", help="Learning rate of the experts; may be repeated."),
]
Step = Annotated[
    int, typer.Option(min=1, help="Epoch at which the learning rate is divided by 10.")
]
MixerRate = Annotated[float, typer.Option("--mixer-lr", help="Learning rate of the mixer.")]
Stride = Annotated[
    int, typer.Option(min=1, help="Boundaries from one sequence of an expert to the next.")
]
MixerStride = Annotated[
    int, typer.Option(min=1, help="Boundaries from one sequence of the mixer to the next.")
]
Batch = Annotated[int, typer.Option(min=1, help="Sequences in a step.")]
Alphas = Annotated[
    list[float] | None,
    typer.Option("--alpha", help="Scale of the constraint; may be repeated, the best is taken."),
]
Lookahead = Annotated[
    int, typer.Option(min=0, help="Boundaries to wait for beyond the one decided.")
]
Seed = Annotated[int, typer.Option(min=0, help="Decides all that is left to chance.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Experts trained at a time; one a core when absent.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where it is computed.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a training runs.

    Attributes:
        device: Name for torch.
        workers: Experts at a time.
    """

    device: str
    workers: int


def training_settings(
    size: Size, rates: Sequence[float] | None, alphas: Sequence[float] | None, **values: object
) -> TrainingSettings:
    """Checks options.

    Args:
        size: Widths.
        rates: Learning rates of the experts; the paper's when there are none.
        alphas: Scales of the constraint; the paper's when there are none.
        values: Further fields of ``TrainingSettings``.

    Raises:
        ConfigError: One is out of range, or they do not fit together.
    """
    from pydantic import ValidationError

    from streamer.errors import ConfigError
    from streamer.models.catalogue import find_row
    from streamer.models.experts.expert import ExpertSize
    from streamer.models.training.settings import TrainingSettings
    from streamer.wire import in_words

    chosen = ExpertSize.paper() if size is Size.paper else ExpertSize.compact()
    try:
        find_row(str(values.get("row", "MOAE")))
    except ConfigError as error:
        error.option = "row", str(error)
        raise
    given = {"rates": tuple(rates)} if rates else {}
    given |= {"alphas": tuple(alphas)} if alphas else {}
    try:
        return TrainingSettings.model_validate({"size": chosen} | given | values)
    except ValidationError as error:
        first = error.errors()[0]
        # A rule between several options names them itself.
        where = str(first["loc"][0]) if first["loc"] else ""
        where = {"rates": "lr", "mixer_rate": "mixer_lr"}.get(where, where)
        wrong = ConfigError(in_words(first))
        wrong.option = where, in_words(first)
        raise wrong from error


def training_place(device: str, jobs: int | None, size: Size) -> Place:
    """Chooses device and processes.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        jobs: Experts at a time; None takes one a core.
        size: Widths.
    """
    import os

    from streamer.models.device import pick_device

    # Small steps gain nothing from threads and lose much when cores are shared.
    chosen = pick_device(device, threads=1 if size is Size.compact else None)
    # Several processes on one accelerator would fight for it.
    return Place(chosen, 1 if chosen != "cpu" else jobs or os.cpu_count() or 1)


@contextmanager
def training_progress(settings: TrainingSettings, quiet: bool, one_line: bool) -> Iterator[Report]:
    """Shows trainings on standard error; running out of memory becomes a clear error.

    Args:
        settings: Tells how many epochs there will be.
        quiet: Show nothing.
        one_line: All trainings take turns on one line, for there are hundreds.

    Yields:
        Takes what is trained and how far it is.

    Raises:
        DatasetError: Memory ran out inside.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from streamer.models.training.memory import memory_errors

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}  score {task.fields[score]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    still = quiet or not console.is_terminal
    with memory_errors(), Progress(*columns, console=console, disable=still) as progress:
        tasks = {"": progress.add_task("reading", total=None, loss="", score="")}

        def told(label: str, done: Done) -> None:
            # The first training takes the line that said "reading".
            key = "" if one_line else label
            if key not in tasks:
                first = tasks.pop("", None)
                tasks[key] = progress.add_task(label, loss="", score="") if first is None else first
            progress.update(
                tasks[key],
                description=label,
                completed=done.epoch,
                total=epochs_of(label, settings),
                loss=f"{done.losses[-1]:.4f}" if done.losses else "",
                score=f"{done.scores[-1]:.4f}" if done.scores else "",
            )

        yield told


def epochs_of(label: str, settings: TrainingSettings) -> int:
    """Epochs that the training of this label will have."""
    if label == settings.row or label.endswith(("mixer", "mixers")):
        return settings.mixer_epochs
    return settings.inner.epochs if " inner " in label else settings.epochs
