"""Manage undelivered events: ``streamer spool``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli._arguments import ConfigOption

if TYPE_CHECKING:
    from streamer.connectors.sinks.leftovers import Leftover

spool = typer.Typer(
    name="spool",
    help="Events that still wait for Kafka on this machine.",
    no_args_is_help=True,
    add_completion=False,
)


@spool.command("list")
def list_(config: ConfigOption = None) -> int:
    """List waiting events: stream, topic, events, bytes, and those that no broker accepts."""
    from rich.table import Table

    from streamer.cli._render import print_table
    from streamer.lines import report

    table = Table()
    for column in ("stream", "to", "events", "bytes", "refused", "file"):
        number = column in {"events", "bytes", "refused"}
        table.add_column(column, overflow="fold", no_wrap=number)
    found = _leftovers(config)
    for each in found:
        if each.problem:
            report(each.problem)
            continue
        if each.busy:
            row = (each.stream, each.target, "in use", "", "")
        else:
            row = (each.stream, each.target, str(each.events), str(each.size), str(each.refused))
        table.add_row(*row, each.path.name)
    print_table(table)
    return _code(any(each.problem for each in found))


@spool.command()
def send(config: ConfigOption = None) -> int:
    """Send waiting events; spools that a running process uses are left to it.

    A spool that cannot be sent is named and skipped.
    """
    from streamer.config.load import load_settings
    from streamer.connectors.sinks.registry import open_sink
    from streamer.errors import SinkError
    from streamer.lines import report
    from streamer.plugins import SinkContext

    section = load_settings(config).kafka
    failed = False
    for each in _leftovers(config):
        if each.problem:
            report(each.problem)
            failed = True
        if each.busy or not each.events:
            continue
        try:
            sink = open_sink(each.target, SinkContext(each.stream, {"kafka": section}))
            try:
                sink.flush()
            finally:
                sink.close()
        except SinkError as error:
            report(f"{each.stream}: {error}")
            failed = True
            continue
        report(f"{each.events} events sent to {each.target}", label=each.stream, style="bold")
    return _code(failed)


@spool.command()
def remove(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="As `streamer spool list` names them.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Also with events in it: they are lost.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Remove spools of brokers or topics that will never exist, such as mistyped ones.

    Example:

      streamer spool remove film-0123456789abcdef.spool
    """
    from streamer.connectors.sinks.leftovers import remove_leftover
    from streamer.errors import SinkError

    known = {each.path.name: each for each in _leftovers(config)}
    for name in files:
        if Path(name).name not in known:
            raise SinkError(f"{name}: there is no such spool; `streamer spool list` names them")
    for name in files:
        remove_leftover(known[Path(name).name], force=force)


def _code(failed: bool) -> int:
    from streamer.errors import SinkError

    return SinkError.exit_code if failed else 0


def _leftovers(config: Path | None) -> list[Leftover]:
    from streamer.config.load import load_settings
    from streamer.connectors.sinks.kafka import spool_folder
    from streamer.connectors.sinks.leftovers import leftovers

    return leftovers(spool_folder(load_settings(config).kafka))
