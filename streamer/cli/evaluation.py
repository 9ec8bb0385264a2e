"""Measure and calibrate checkpoints: ``streamer evaluate``, ``streamer calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli._arguments import DeviceOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.models.evaluation.evaluate import SystemReport
    from streamer.models.mixture import Moae


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder of <movie>.safetensors.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint; the one that ships when absent.")
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(help="Dataset that thresholds of single experts and baselines are chosen on."),
    ] = None,
    lookahead: Annotated[
        int | None,
        typer.Option(min=0, help="Boundaries to wait for; the checkpoint's when absent."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Judge sequences that lie end to end instead.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="The checkpoint's when absent.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Aspect to leave out; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder that receives evaluation.json and .csv.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    device: DeviceOption = "cpu",
) -> None:
    """Measure a mixture, its experts and the baselines on the same movies."""
    import json

    from streamer.files import write_atomically
    from streamer.models.checkpoint import load
    from streamer.models.dataset.folder import DatasetFolder
    from streamer.models.device import pick_device
    from streamer.models.evaluation.evaluate import as_csv, as_json
    from streamer.models.evaluation.evaluate import evaluate as run
    from streamer.models.training.memory import SCORING_ADVICE, memory_errors

    model = load(checkpoint, pick_device(device))
    position = _lookahead(model, lookahead)
    with memory_errors(SCORING_ADVICE):
        reports = run(
            model,
            DatasetFolder(dataset).movies(),
            lookahead=None if offline else position,
            threshold=threshold,
            training=None if training is None else DatasetFolder(training).movies(),
            without=tuple(without or ()),
        )
    text = json.dumps(
        {
            "checkpoint": {"row": model.config.row, "sha256": model.digest},
            "dataset": dataset.name,
            "lookahead": "offline" if offline else position,
            "without": sorted(without or ()),
            "systems": as_json(reports),
        },
        indent=1,
    )
    if out is not None:
        write_atomically(out / "evaluation.json", text.encode())
        write_atomically(out / "evaluation.csv", as_csv(reports).encode())
    if json_output:
        typer.echo(text)
    else:
        _print_table(reports)


def _print_table(reports: Sequence[SystemReport]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{len(reports[0].metrics.movies)} movies, means over movies but for pooled AP",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("system", no_wrap=True)
    titles = ("AP", "pooled", "Miou", "recall", "prec.", "F1", "R@3s", "thresh.")
    for title in titles:
        table.add_column(title, justify="right")
    for report in reports:
        metrics = report.metrics
        values = (
            metrics.ap_mean,
            metrics.ap_pooled,
            metrics.miou,
            metrics.recall,
            metrics.precision,
            metrics.f1,
            metrics.recall_3s,
            metrics.threshold,
        )
        cells = ("n/a" if value is None else f"{value:.3f}" for value in values)
        table.add_row(report.name, *cells)
    Console().print(table)


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
    device: DeviceOption = "cpu",
) -> None:
    """Choose the threshold with the highest mean F1 and write it into the checkpoint."""
    from rich.console import Console

    from streamer.errors import DatasetError
    from streamer.models.checkpoint import load, read_header, save_moae
    from streamer.models.dataset.folder import DatasetFolder
    from streamer.models.device import pick_device
    from streamer.models.evaluation.metrics import best_threshold, measure
    from streamer.models.evaluation.scoring import score_movie
    from streamer.models.training.memory import SCORING_ADVICE, memory_errors

    notes = read_header(checkpoint).notes
    model = load(checkpoint, pick_device(device))
    position = _lookahead(model, lookahead)
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


def _lookahead(model: Moae, wanted: int | None) -> int:
    """Return the wanted look-ahead, or the checkpoint's; it must fit the sequences."""
    from streamer.errors import CheckpointError

    position = model.config.lookahead if wanted is None else wanted
    if position >= model.config.sequence:
        raise CheckpointError(
            f"a look-ahead of {position} does not fit sequences of "
            f"{model.config.sequence} boundaries"
        )
    return position
