"""``streamer calibrate``: the decision threshold, chosen on training movies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def calibrate(
    dataset: Annotated[Path, typer.Argument(help="Folder of training movies, never test movies.")],
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint whose threshold is chosen.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; over the checkpoint when absent.")
    ] = None,
    movies: Annotated[
        str | None, typer.Option(help="Use these movies only: names with commas between them.")
    ] = None,
    lookahead: Annotated[
        int | None, typer.Option(min=0, help="Boundaries to wait for; becomes the default.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where it is computed.")
    ] = "cpu",
) -> None:
    """Chooses the threshold with the highest mean F1 and writes it into the checkpoint."""
    from rich.console import Console

    from streamer.errors import CheckpointError, DatasetError
    from streamer.models.checkpoint import load, read_header, save_moae
    from streamer.models.dataset.folder import DatasetFolder
    from streamer.models.device import pick_device
    from streamer.models.evaluation.metrics import best_threshold, measure
    from streamer.models.evaluation.scoring import score_movie
    from streamer.models.training.memory import SCORING_ADVICE, memory_errors

    notes = read_header(checkpoint).notes
    model = load(checkpoint, pick_device(device))
    position = model.config.lookahead if lookahead is None else lookahead
    if position >= model.config.sequence:
        raise CheckpointError(
            f"a look-ahead of {position} does not fit sequences of "
            f"{model.config.sequence} boundaries"
        )
    folder = DatasetFolder(dataset)
    names = folder.names if movies is None else tuple(n.strip() for n in movies.split(","))
    unknown = sorted(set(names) - set(folder.names))
    if unknown:
        raise DatasetError(f"there is no movie {unknown[0]!r} in {dataset}")
    scored = []
    with memory_errors(SCORING_ADVICE):
        for name in names:
            movie = folder.read(name)
            scored.append(score_movie(model, movie, position).of(movie))
    if not any(each.labels.any() for each in scored):
        raise DatasetError("no movie has a scene boundary: there is nothing to calibrate on")
    threshold = best_threshold(scored)
    model.config = model.config.model_copy(update={"threshold": threshold, "lookahead": position})
    target = checkpoint if out is None else out
    digest = save_moae(model.cpu(), target, notes | {"calibrated_on": ", ".join(names)})
    Console(stderr=True).print(
        f"{target}: threshold {threshold:.4f}, F1 {measure(scored, threshold).f1:.4f} on the "
        f"movies it was chosen on; SHA-256 {digest}"
    )
    typer.echo(f"{threshold:.6f}")
