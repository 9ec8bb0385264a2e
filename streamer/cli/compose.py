"""``streamer compose``: annotated synthetic films from real pictures and sounds."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from streamer.cli.given import frame_rate

_SIZE: Final = re.compile(r"([0-9]{1,6})[xX]([0-9]{1,6})")


class Split(StrEnum):
    """Side of the division between training and test."""

    train = "train"
    test = "test"


class Sound(StrEnum):
    """Which layers of sound are heard."""

    full = "full"
    none = "none"
    silent = "silent"
    music_only = "music_only"
    speech_only = "speech_only"


def compose(
    media: Annotated[Path, typer.Option(help="Media folder; docs/compose.md has the layout.")],
    out: Annotated[Path, typer.Option(help="Folder that receives films and annotations.")],
    movies: Annotated[int, typer.Option(min=1, help="How many films.")] = 1,
    minutes: Annotated[float, typer.Option(help="Least length of each film.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is left to chance.")] = 0,
    split: Annotated[
        Split | None, typer.Option(help="Use only this side of the media; all when absent.")
    ] = None,
    size: Annotated[str, typer.Option(help="Width x height in pixels, both even.")] = "480x270",
    fps: Annotated[str, typer.Option(help="Frames a second: 25 or 24000/1001.")] = "25",
    sound: Annotated[
        Sound | None, typer.Option(help="Layers heard in all films; drawn for each when absent.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Films composed at a time.")] = 2,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Composes annotated films as MP4 files; the same seed gives the same films.

    Films that lie complete in the folder already are kept, so an interrupted run can go on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from streamer.models.compose.compose import Order
    from streamer.models.compose.compose import compose as run

    width, height = parse_size(size)
    order = Order(
        media=media,
        out=out,
        movies=movies,
        minutes=minutes,
        seed=seed,
        side=None if split is None else split.value,
        width=width,
        height=height,
        rate=frame_rate(fps, "--fps"),
        sound=None if sound is None else sound.value,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    still = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=still) as progress:
        task = progress.add_task("composing", total=movies)
        for name in run(order, jobs, lambda _: progress.advance(task)):
            typer.echo(out / f"{name}.mp4")


def parse_size(text: str) -> tuple[int, int]:
    """Reads ``480x270``.

    Raises:
        typer.BadParameter: It is written otherwise.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT", param_hint="--size")
    return int(found[1]), int(found[2])
