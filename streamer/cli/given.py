"""What several commands check of their arguments."""

from __future__ import annotations

import typer


def given(source: str) -> str:
    """An input has to be named: an empty one would be the working folder.

    Raises:
        BadParameter: It is empty.
    """
    if not source:
        raise typer.BadParameter("it is empty: give a file, an address, or - for standard input")
    return source
