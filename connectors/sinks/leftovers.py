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
from streamer.errors import SinkError, StateError
from streamer.lines import reason

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

    Raises:
        SinkError: The folder cannot be read.
    """
    try:
        return [_look(path) for path in sorted(folder.glob(f"*{ENDING}"))]
    except OSError as error:
        raise SinkError(f"{folder}: cannot be read: {reason(error)}") from error


def remove_leftover(found: Leftover, *, force: bool = False) -> None:
    """Remove a spool.

    Args:
        found: As `leftovers` gave it.
        force: Also where it holds events, or cannot be read.

    Raises:
        SinkError: A process uses it, it holds events, or it cannot be removed.
    """
    if found.busy:
        raise SinkError(f"{found.path}: is in use by another process")
    if not force and (found.events or found.refused or found.problem):
        what = found.problem or f"holds {found.events + found.refused} events"
        raise SinkError(f"{found.path}: {what}; streamer spool remove --force loses them")
    try:
        for ending in ("", "-wal", "-shm", "-journal", ".reserve"):
            found.path.with_name(found.path.name + ending).unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(f"{found.path}: cannot be removed: {reason(error)}") from error


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
        words = "damaged" if isinstance(error, UnicodeDecodeError) else reason(error)
        return Leftover(path, busy=False, problem=f"{path}: cannot be read: {words}")
    except StateError as error:
        return Leftover(path, busy=False, problem=str(error))
    if about is None:
        return Leftover(path, busy=False)
    return Leftover(path, False, about.target, about.stream, events, int(size), refused)
