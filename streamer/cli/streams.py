"""``streamer streams``: which streams the fleet reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamer.fleet.request import Register

app = typer.Typer(
    name="streams",
    help="The streams that a fleet reads.",
    no_args_is_help=True,
    add_completion=False,
)

Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")]
Broker = Annotated[
    str | None, typer.Option(metavar="URL", help="kafka://HOST:PORT, or kafkas://….")
]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The stream's name in events.")],
    location: Annotated[str, typer.Argument(help="As for streamer tail; every worker sees it.")],
    config: Config = None,
    broker: Broker = None,
) -> None:
    """Have a stream read; one of that name is read anew, in a new epoch.

    A path is made absolute: workers have other working folders. One that is not there on this
    machine is a warning.

    Example:

      streamer streams add news rtsp://camera.example/news
    """
    from streamer.connectors.sources.registry import path_of
    from streamer.fleet.request import StreamRequest
    from streamer.lines import report

    if location == "-":
        raise typer.BadParameter("no worker has this standard input", param_hint="LOCATION")
    path = path_of(location)
    path = None if path is None else path.absolute()
    _register(config, broker).put(StreamRequest.make(name, str(path or location)))
    if path is not None and not os.path.lexists(path):
        report(
            f"{path}: no such file here; every worker has to see it",
            label="warning",
            style="bold yellow",
        )


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The stream's name.")],
    config: Config = None,
    broker: Broker = None,
) -> None:
    """Have a stream read no longer; its last scene is closed."""
    _register(config, broker).remove(name)


@app.command("list")
def list_(config: Config = None, broker: Broker = None) -> None:
    """Show which streams should be read; logins in their addresses are left out."""
    from datetime import UTC, datetime

    from rich.table import Table

    from streamer.cli.wide import print_table
    from streamer.connectors.sources.address import redact

    table = Table()
    for column in ("stream", "location", "since"):
        table.add_column(column, overflow="fold")
    for request in _register(config, broker).all():
        since = datetime.fromtimestamp(request.added, UTC).isoformat(timespec="seconds")
        table.add_row(request.stream, redact(request.location), since)
    print_table(table)


def _register(config: Path | None, broker: str | None) -> Register:
    from streamer.config.load import load_settings
    from streamer.fleet.request import Register

    settings = load_settings(config, {"fleet.broker": broker})
    return Register(settings.fleet, settings.kafka)
