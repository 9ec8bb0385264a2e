"""``streamer tables``: every row of the paper's tables on one's own movies."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.training import (
    Alphas,
    Batch,
    Device,
    Epochs,
    InnerEpochs,
    Jobs,
    Lookahead,
    MixerEpochs,
    MixerRate,
    MixerStride,
    Quiet,
    Rates,
    Seed,
    Size,
    SizeOption,
    Step,
    Stride,
    training_place,
    training_progress,
    training_settings,
)


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
    epochs: Epochs = 60,
    inner_folds: Annotated[
        int, typer.Option(min=2, help="Groups of training movies that thresholds and mixers need.")
    ] = 3,
    inner_epochs: InnerEpochs = None,
    mixer_epochs: MixerEpochs = 20,
    lr: Rates = None,
    step: Step = 30,
    mixer_lr: MixerRate = 1e-4,
    mixer_stride: MixerStride = 3,
    stride: Stride = 10,
    batch: Batch = 32,
    alpha: Alphas = None,
    lookahead: Lookahead = 1,
    size: SizeOption = Size.compact,
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
    seed: Seed = 0,
    jobs: Jobs = None,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Trains and measures every row by cross validation; a killed run goes on where it was.

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
            (lambda _line: None) if quiet else partial(typer.echo, err=True),
        )
        typer.echo(shown)
        for file in files:
            typer.echo(file, err=True)
        return
    if protocol is not None:
        raise ConfigError("a protocol needs several datasets of the same films")
    from streamer.models.tables.run import make_tables

    settings = training_settings(
        size,
        lr,
        alpha,
        epochs=epochs,
        inner_folds=inner_folds,
        inner_epochs=inner_epochs,
        mixer_epochs=mixer_epochs,
        step=step,
        mixer_rate=mixer_lr,
        mixer_stride=mixer_stride,
        stride=stride,
        batch=batch,
        lookahead=lookahead,
        seed=seed,
    )
    place = training_place(device, jobs, size)
    named = tuple(name.strip() for name in test.split(",") if name.strip())
    with training_progress(settings, quiet, one_line=True) as told:
        made = make_tables(
            DatasetFolder(datasets[0]),
            out,
            settings,
            folds,
            place.workers,
            place.device,
            films,
            movie,
            told,
            named,
            seeds,
        )
    typer.echo(made.markdown)
    for file in made.files:
        typer.echo(file, err=True)
