"""``streamer sample``: the demo's sample film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sample(
    out: Annotated[Path, typer.Option(help="Folder that receives sample.mp4 and its truth.")],
    size: Annotated[str, typer.Option(help="Width x height in pixels, both even.")] = "640x360",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Composes a film of three minutes from what Debian packages ship, with its true scenes.

    A sample that lies complete in the folder already is kept.
    """
    from rich.console import Console
    from rich.progress import Progress

    from streamer.cli.compose import parse_size
    from streamer.models.compose.sample import compose_sample

    width, height = parse_size(size)
    console = Console(stderr=True)
    still = quiet or not console.is_terminal
    with Progress(console=console, disable=still, transient=True) as progress:
        task = progress.add_task("composing the sample film", total=None)
        film = compose_sample(
            out, width, height, lambda frames: progress.update(task, completed=frames)
        )
    typer.echo(film)
