"""``streamer plugins``: every source, sink, aspect and shot detector that can be named."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the parts that can be used by name, built-in and installed.

    Installed ones are imported to see whether that works.

    Examples:

      streamer plugins

      streamer plugins --json
    """
    import json

    from streamer import __version__
    from streamer.errors import PluginError
    from streamer.plugins import BUILT_IN, NOUNS, find, table

    rows = []
    for group in BUILT_IN:
        for name, found in sorted(table(group).items()):
            for each in found:
                error = None
                try:
                    find(group, name)
                    if not each.built_in:
                        each.load()
                except PluginError as problem:
                    error = str(problem)
                rows.append(
                    {
                        "kind": NOUNS[group],
                        "name": name,
                        "distribution": each.distribution,
                        "version": __version__ if each.built_in else each.version,
                        "object": each.target,
                        "error": error,
                    }
                )
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        return

    from rich.table import Table
    from rich.text import Text

    from streamer.cli.wide import print_table
    from streamer.lines import one_line

    shown = Table()
    columns = ("kind", "name", "distribution", "version", "error")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(one_line(row[column] or "")) for column in columns))
    print_table(shown)
