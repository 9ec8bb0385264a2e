"""Keep the list of streams across restarts, in a folder locked for one process."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streamer.config.folders import state_home
from streamer.config.streams import parse_entry
from streamer.errors import ConfigError, StateError, StateUnwritable
from streamer.files import PRIVATE, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from streamer.config.sections import ServeSection
    from streamer.config.streams import StreamEntry

FILE: Final = "streams.json"
MAX_BYTES: Final = 16 << 20


class Roster:
    """The streams of the file, and what the API put in their place.

    An entry that was put stands over the file's of the same name, and a deleted one stays away,
    until the file is loaded again: then the file's entries hold as they are written there, and
    streams that only the API knows stay.

    Args:
        folder: Where the changes are kept, readable for their owner only: sources may hold
            passwords.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: dict[str, StreamEntry] = {}
        self._put: dict[str, StreamEntry] = {}
        self._deleted: frozenset[str] = frozenset()
        self._before = self._file, self._put, self._deleted

    @property
    def entries(self) -> dict[str, StreamEntry]:
        """What should run."""
        kept = {name: entry for name, entry in self._file.items() if name not in self._deleted}
        return kept | self._put

    def load(self, written: Iterable[StreamEntry]) -> None:
        """At the start: the file's entries, and the changes that were kept.

        Raises:
            StateError: The kept changes are damaged.
        """
        self._file = {entry.name: entry for entry in written}
        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise StateError(f"{self._path}: too large")
            kept = json.loads(self._path.read_text("utf-8"))
            put = [parse_entry(json.dumps(entry), str(self._path)) for entry in kept["put"]]
            self._deleted = frozenset(str(name) for name in kept["deleted"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ConfigError) as error:
            raise StateError(f"{self._path}: cannot be read as a list of streams") from error
        self._put = {entry.name: entry for entry in put}

    def reload(self, written: Iterable[StreamEntry]) -> None:
        """The file was changed; its entries hold as they are written there.

        Raises:
            StateUnwritable: The changes cannot be kept; nothing was changed.
        """
        file = {entry.name: entry for entry in written}
        put = {name: entry for name, entry in self._put.items() if name not in file}
        self._change(file, put, frozenset())

    def put(self, entry: StreamEntry) -> None:
        """Adds or replaces a stream.

        Raises:
            StateUnwritable: The change cannot be kept; nothing was changed.
        """
        deleted = self._deleted - {entry.name}
        self._change(self._file, self._put | {entry.name: entry}, deleted)

    def delete(self, name: str) -> None:
        """Removes a stream.

        Raises:
            StateUnwritable: The change cannot be kept; nothing was changed.
        """
        put = {other: entry for other, entry in self._put.items() if other != name}
        self._change(self._file, put, self._deleted | ({name} & self._file.keys()))

    def undo(self) -> None:
        """Takes the last change back.

        Raises:
            StateUnwritable: It stands.
        """
        self._change(*self._before)

    def _change(
        self, file: dict[str, StreamEntry], put: dict[str, StreamEntry], deleted: frozenset[str]
    ) -> None:
        """On the disk first: what cannot be kept does not happen."""
        kept = {
            "put": [json.loads(entry.text()) for entry in put.values()],
            "deleted": sorted(deleted),
        }
        try:
            write_atomically(self._path, json.dumps(kept).encode(), mode=PRIVATE, alone=True)
        except OSError as error:
            reason = f"{self._path}: cannot be written: {error.strerror}"
            raise StateUnwritable(reason) from error
        self._before = self._file, self._put, self._deleted
        self._file, self._put, self._deleted = file, put, deleted


@contextmanager
def state_folder(settings: ServeSection) -> Iterator[Path]:
    """Makes and locks the folder while the context lasts.

    Two processes that went on from the same states would send everything twice. The lock ends
    with the process, however it ends.

    Raises:
        StateError: It cannot be used, or another process uses it.
    """
    folder = settings.state or state_home("streams")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{folder}: cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(f"{folder}: another streamer serve uses it") from error
        yield folder
    finally:
        os.close(descriptor)
