"""Finds the spools that lie on this machine."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.connectors.sinks.spool import (
    DAMAGE,
    ENDING,
    NUMBERS,
    connect,
    is_busy,
    read_about,
)
from streamer.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Leftover:
    """A spool as it lies there.

    Attributes:
        path: The file.
        busy: A process uses it; the rest is then unknown.
        target: Where its events go.
        stream: Whose they are.
        events: How many wait.
        size: Their bytes.
        refused: Events that no broker takes.
        problem: Why it cannot be read, else empty; the rest is then unknown.
    """

    path: Path
    busy: bool
    target: str = ""
    stream: str = ""
    events: int = 0
    size: int = 0
    refused: int = 0
    problem: str = ""


def leftovers(folder: Path) -> list[Leftover]:
    """Looks into a folder of spools.

    Args:
        folder: One that is not there holds nothing.
    """
    return [_look(path) for path in sorted(folder.glob(f"*{ENDING}"))]


def _look(path: Path) -> Leftover:
    try:
        with closing(connect(path)) as database:
            # Whoever makes one may have been killed before it had tables.
            if database.execute("PRAGMA user_version").fetchone() == (0,):
                return Leftover(path, busy=False)
            about = read_about(database, path)
            events, size, refused = database.execute(NUMBERS).fetchone()
    except DAMAGE as error:
        if is_busy(error):
            return Leftover(path, busy=True)
        return Leftover(path, busy=False, problem=f"{path}: cannot be read: {error}")
    except StateError as error:
        return Leftover(path, busy=False, problem=str(error))
    if about is None:
        return Leftover(path, busy=False)
    return Leftover(path, False, about.target, about.stream, events, int(size), refused)
