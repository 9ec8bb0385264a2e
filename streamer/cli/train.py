"""``streamer train``: experts and mixer from a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from collections.abc import Sequence


def train(
    dataset: Annotated[Path, typer.Argument(help="Folder of <movie>.safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder that receives checkpoint and model card.")],
    row: Annotated[str, typer.Option(help="Mixture to train, by its printed name.")] = "MOAE_A",
    size: SizeOption = Size.compact,
    epochs: Epochs = 60,
    mixer_epochs: MixerEpochs = 20,
    inner_folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Groups of training movies; the mixer learns from experts that do not know the "
            "movie. 0: from those that do.",
        ),
    ] = 3,
    inner_epochs: InnerEpochs = None,
    lr: Rates = None,
    step: Step = 30,
    mixer_lr: MixerRate = 1e-4,
    mixer_stride: MixerStride = 3,
    stride: Stride = 10,
    batch: Batch = 32,
    alpha: Alphas = None,
    lookahead: Lookahead = 1,
    holdout: Annotated[
        str,
        typer.Option(
            help="Movies to choose by: names with commas between them, or a share such as 0.2."
        ),
    ] = "0",
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop an expert after this long without improvement.")
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Trains a mixture; started again after a kill, it goes on where it was."""
    from rich.console import Console

    from streamer.models.dataset.folder import DatasetFolder
    from streamer.models.training.run import train_mixture

    settings = training_settings(
        size,
        lr,
        alpha,
        row=row,
        epochs=epochs,
        mixer_epochs=mixer_epochs,
        inner_folds=inner_folds,
        inner_epochs=inner_epochs,
        step=step,
        mixer_rate=mixer_lr,
        mixer_stride=mixer_stride,
        stride=stride,
        batch=batch,
        lookahead=lookahead,
        patience=patience,
        seed=seed,
    )
    folder = DatasetFolder(dataset)
    place = training_place(device, jobs, size)
    held = parse_holdout(holdout, folder.names)
    with training_progress(settings, quiet, one_line=False) as told:
        trained = train_mixture(folder, out, settings, held, place.workers, place.device, told)
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
