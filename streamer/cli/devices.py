"""``streamer devices``: what can be recorded from on this machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List microphones, cameras and screens, each with what to type for it.

    Examples:

      streamer devices

      streamer tail mic:
    """
    import json
    from dataclasses import asdict

    from streamer.connectors.sources.capture import devices as found
    from streamer.lines import report

    there, missing = found()
    for line in missing:
        report(line, label="warning", style="bold yellow")
    if as_json:
        for device in there:
            sys.stdout.write(json.dumps(asdict(device), ensure_ascii=False) + "\n")
        return
    if not there:
        report("nothing to record from was found", label="devices", style="bold")
        return

    from rich.table import Table

    from streamer.cli.wide import print_table

    table = Table()
    for column in ("type this", "kind", "name", "detail"):
        table.add_column(column, overflow="fold")
    for device in there:
        table.add_row(device.location, device.kind, device.name, device.detail)
    print_table(table)
