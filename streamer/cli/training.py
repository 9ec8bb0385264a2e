"""Train mixtures: ``streamer train``, ``streamer tables``."""

from __future__ import annotations

import functools
import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from streamer.cli._arguments import DeviceOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from streamer.models.training.loop import Progress as Done
    from streamer.models.training.parallel import Report
    from streamer.models.training.settings import TrainingSettings


class Size(StrEnum):
    """Name the widths of the networks."""

    compact = "compact"
    paper = "paper"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """Declare the options of every command that trains; defaults are the settings' own."""

    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the experts.")] = 60
    inner_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of the experts of inner folds; half when absent."),
    ] = None
    mixer_epochs: Annotated[int, typer.Option(min=1, help="Epochs of the mixer.")] = 20
    lr: Annotated[
        list[float] | None, typer.Option(help="Learning rate of the experts; may be repeated.")
    ] = None
    step: Annotated[
        int, typer.Option(min=1, help="Epoch at which the learning rate is divided by 10.")
    ] = 30
    mixer_lr: Annotated[float, typer.Option(help="Learning rate of the mixer.")] = 1e-4
    mixer_stride: Annotated[
        int, typer.Option(min=1, help="Boundaries from one sequence of the mixer to the next.")
    ] = 3
    stride: Annotated[
        int, typer.Option(min=1, help="Boundaries from one sequence of an expert to the next.")
    ] = 10
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a step.")] = 32
    alpha: Annotated[
        list[float] | None,
        typer.Option(help="Scale of the constraint; may be repeated, the best is taken."),
    ] = None
    lookahead: Annotated[
        int, typer.Option(min=0, help="Boundaries to wait for beyond the one decided.")
    ] = 1
    size: Annotated[Size, typer.Option(help="Widths of the networks.")] = Size.compact
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is left to chance.")] = 0
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Experts trained at a time; one a core when absent.")
    ] = None
    device: DeviceOption = "cpu"
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False

    def settings(self, **values: object) -> TrainingSettings:
        """Check the options and convert them.

        Args:
            values: Further fields of ``TrainingSettings``, which only one command has.

        Raises:
            ConfigError: One is out of range, or they do not fit together.
        """
        from streamer.models.experts.expert import ExpertSize

        paper = self.size is Size.paper
        values |= {
            "size": ExpertSize.paper() if paper else ExpertSize.compact(),
            "epochs": self.epochs,
            "inner_epochs": self.inner_epochs,
            "mixer_epochs": self.mixer_epochs,
            "step": self.step,
            "mixer_rate": self.mixer_lr,
            "mixer_stride": self.mixer_stride,
            "stride": self.stride,
            "batch": self.batch,
            "lookahead": self.lookahead,
            "seed": self.seed,
        }
        if self.lr:
            values["rates"] = tuple(self.lr)
        if self.alpha:
            values["alphas"] = tuple(self.alpha)
        return _check_settings(values)

    def resources(self) -> Resources:
        """Choose device and number of processes."""
        return choose_resources(self.device, self.jobs, self.size)


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `TrainingOptions` in place of its parameter ``options``."""
    shared = get_type_hints(TrainingOptions, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for own in inspect.signature(command, eval_str=True).parameters.values():
        if own.name == "options":
            parameters += (
                each.replace(annotation=shared[each.name])
                for each in inspect.signature(TrainingOptions).parameters.values()
            )
        else:
            parameters.append(own.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def call(**values: Any) -> None:
        options = TrainingOptions(**{name: values.pop(name) for name in shared})
        command(**values, options=options)

    # typer reads the signature and the annotations.
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


@with_training_options
def train(
    dataset: Annotated[Path, typer.Argument(help="Folder of <movie>.safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder that receives checkpoint and model card.")],
    row: Annotated[str, typer.Option(help="Mixture to train, by its printed name.")] = "MOAE_A",
    inner_folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Groups of training movies; the mixer learns from experts that do not know the "
            "movie. 0: from those that do.",
        ),
    ] = 3,
    holdout: Annotated[
        str,
        typer.Option(
            help="Movies to choose by: names with commas between them, or a share such as 0.2."
        ),
    ] = "0",
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop an expert after this long without improvement.")
    ] = None,
    *,
    options: TrainingOptions,
) -> None:
    """Train a mixture; run again after a kill, it continues where it stopped."""
    from rich.console import Console

    from streamer.models.dataset.folder import DatasetFolder
    from streamer.models.training.run import train_mixture

    settings = options.settings(row=row, inner_folds=inner_folds, patience=patience)
    folder = DatasetFolder(dataset)
    resources = options.resources()
    held = parse_holdout(holdout, folder.names)
    with training_progress(settings, quiet=options.quiet) as on_progress:
        trained = train_mixture(
            folder, out, settings, held, resources.workers, resources.device, on_progress
        )
    metrics = trained.metrics
    Console(stderr=True).print(
        f"{trained.checkpoint}: threshold {trained.threshold:.3f}, F1 {metrics.f1:.4f}, "
        f"Miou {metrics.miou:.4f} on the movies it was chosen on; see {trained.card}"
    )
    typer.echo(trained.checkpoint)


@with_training_options
def tables(
    datasets: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of <movie>.safetensors; several of the same films, each by another "
            "network, measure relation experts instead."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder that receives tables and figures.")],
    folds: Annotated[int, typer.Option(min=2, help="Folds, by movie.")] = 5,
    test: Annotated[
        str,
        typer.Option(
            help="Test on these movies instead of folds, all others train: names with commas "
            "between them."
        ),
    ] = "",
    seeds: Annotated[
        int, typer.Option(min=1, help="With --test: trainings, at as many seeds from --seed on.")
    ] = 1,
    inner_folds: Annotated[
        int, typer.Option(min=2, help="Groups of training movies that thresholds and mixers need.")
    ] = 3,
    films: Annotated[
        Path | None, typer.Option(help="Folder of the films, for key frames in the figure.")
    ] = None,
    movie: Annotated[str | None, typer.Option(help="Movie whose weights are drawn.")] = None,
    protocol: Annotated[
        Path | None,
        typer.Option(
            help="With several datasets: TOML file of folds and what is tested; that of the "
            "package when absent."
        ),
    ] = None,
    *,
    options: TrainingOptions,
) -> None:
    """Train and measure every row by cross validation; a killed run continues where it stopped.

    Several datasets of the same films measure relation experts by the protocol's folds; of the
    other options only --out and --quiet apply then.
    """
    from streamer.errors import ConfigError
    from streamer.models.dataset.folder import DatasetFolder

    if len(datasets) > 1:
        if test or seeds > 1 or films or movie:
            raise ConfigError("--test, --seeds, --films and --movie go with one dataset alone")
        from streamer.models.relations.real import make_real_tables, read_protocol

        shown, files = make_real_tables(
            [DatasetFolder(each) for each in datasets],
            out,
            read_protocol(protocol),
            (lambda _line: None) if options.quiet else functools.partial(typer.echo, err=True),
        )
        typer.echo(shown)
        for file in files:
            typer.echo(file, err=True)
        return
    if protocol is not None:
        raise ConfigError("a protocol needs several datasets of the same films")
    from streamer.models.tables.run import make_tables

    settings = options.settings(inner_folds=inner_folds)
    resources = options.resources()
    named = tuple(name.strip() for name in test.split(",") if name.strip())
    with training_progress(settings, quiet=options.quiet, one_line=True) as on_progress:
        made = make_tables(
            DatasetFolder(datasets[0]),
            out,
            settings,
            folds,
            resources.workers,
            resources.device,
            films,
            movie,
            on_progress,
            named,
            seeds,
        )
    typer.echo(made.markdown)
    for file in made.files:
        typer.echo(file, err=True)


def parse_holdout(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """Parse which movies to hold out.

    Args:
        text: A share within [0, 1), or names with commas between them.
        names: All movies, sorted.

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


@dataclass(frozen=True, slots=True)
class Resources:
    """Hold what a training runs on.

    Attributes:
        device: Name for torch.
        workers: Experts trained at a time.
    """

    device: str
    workers: int


def choose_resources(device: str, jobs: int | None, size: Size) -> Resources:
    """Choose device and number of processes.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        jobs: Experts trained at a time; None takes one a core.
        size: Widths of the networks.
    """
    import os

    from streamer.models.device import pick_device

    # Small steps gain nothing from threads and lose much when cores are shared.
    chosen = pick_device(device, threads=1 if size is Size.compact else None)
    # Several processes would compete for one accelerator.
    return Resources(chosen, 1 if chosen != "cpu" else jobs or os.cpu_count() or 1)


def _check_settings(values: dict[str, object]) -> TrainingSettings:
    from pydantic import ValidationError

    from streamer.errors import ConfigError
    from streamer.models.catalogue import find_row
    from streamer.models.training.settings import TrainingSettings
    from streamer.wire import in_words

    try:
        find_row(str(values.get("row", "MOAE")))
    except ConfigError as error:
        error.option = "row", str(error)
        raise
    try:
        return TrainingSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        # A rule between several options names them itself.
        field = str(first["loc"][0]) if first["loc"] else ""
        wrong = ConfigError(in_words(first))
        wrong.option = {"rates": "lr", "mixer_rate": "mixer_lr"}.get(field, field), in_words(first)
        raise wrong from error


@contextmanager
def training_progress(
    settings: TrainingSettings, *, quiet: bool, one_line: bool = False
) -> Iterator[Report]:
    """Show trainings on standard error; running out of memory becomes a clear error.

    Args:
        settings: Give the number of epochs.
        quiet: Show nothing.
        one_line: Show hundreds of trainings in turn on one line.

    Yields:
        A function that takes the name of a training and its progress.

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

        def on_progress(label: str, done: Done) -> None:
            # The first training takes the line that said "reading".
            key = "" if one_line else label
            if key not in tasks:
                first = tasks.pop("", None)
                tasks[key] = progress.add_task(label, loss="", score="") if first is None else first
            progress.update(
                tasks[key],
                description=label,
                completed=done.epoch,
                total=_epochs(label, settings),
                loss=f"{done.losses[-1]:.4f}" if done.losses else "",
                score=f"{done.scores[-1]:.4f}" if done.scores else "",
            )

        yield on_progress


def _epochs(label: str, settings: TrainingSettings) -> int:
    """Return the number of epochs of the training with this label."""
    if label == settings.row or label.endswith(("mixer", "mixers")):
        return settings.mixer_epochs
    return settings.inner.epochs if " inner " in label else settings.epochs
