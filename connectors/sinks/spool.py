"""Events on disk, in order, until somebody else has them.

SQLite is the journal: a put is one transaction that is on the disk before it returns, a process
that is killed leaves whole events only, and the file's lock keeps a second process out.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from streamer.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ENDING: Final = ".spool"
FORMAT: Final = 1
_LOG_BYTES: Final = 1 << 20
_POLL: Final = 0.1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (target TEXT NOT NULL, stream TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, line BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refused (
    number INTEGER PRIMARY KEY, line BLOB NOT NULL, reason TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event in the spool.

    Attributes:
        number: Its place in the order; never used twice.
        line: The event in the structured JSON format.
    """

    number: int
    line: bytes


@dataclass(frozen=True, slots=True)
class SpoolState:
    """Numbers of a spool, for metrics.

    Attributes:
        events: How many wait.
        size: Their bytes.
        taken: Put since the spool was opened.
        dropped: Dropped since for lack of room.
        refused: Kept apart since, because nobody will ever take them.
    """

    events: int
    size: int
    taken: int
    dropped: int
    refused: int


class Spool:
    """A bounded queue in one file. One thread puts, another one takes.

    Args:
        path: The file; made with its folder when missing.
        limit: Most bytes of events that wait.
        full: At the limit, ``wait`` for room or drop the oldest.
        patience: Seconds to wait for room.
        hurry: Once set, nothing is waited for.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        full: Literal["wait", "drop-oldest"] = "wait",
        patience: float = 60.0,
        hurry: threading.Event | None = None,
    ) -> None:
        self.path = path
        self._hurry = hurry or threading.Event()
        self._limit, self._full, self._patience = limit, full, patience
        self._changed = threading.Condition()
        self._database: sqlite3.Connection | None = None
        self._events = self._size = self._taken = self._dropped = self._refused = 0
        self._stopped = False

    def open(self, target: str, stream: str) -> None:
        """Opens the file and finds what an earlier process left.

        Args:
            target: Where the events go, for whoever finds the file.
            stream: Whose they are.

        Raises:
            SinkError: It cannot be written, is damaged, or another process has it open.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"{self.path.parent}: cannot be made: {error.strerror}") from error
        with self._errors("cannot be opened"):
            database = sqlite3.connect(
                self.path, timeout=0.0, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(database, target, stream)
            except BaseException:
                database.close()
                raise
        self._database, self._stopped = database, False

    def _prepare(self, database: sqlite3.Connection, target: str, stream: str) -> None:
        # Exclusive before the first use: the log then needs no shared memory.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in {0, FORMAT}:
            raise SinkError(f"{self.path}: a spool of version {version}; this one writes {FORMAT}")
        database.executescript(f"BEGIN EXCLUSIVE; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT")
        if database.execute("SELECT count(*) FROM about").fetchone() == (0,):
            database.execute("INSERT INTO about VALUES (?, ?)", (target, stream))
        row = database.execute("SELECT count(*), total(length(line)) FROM events").fetchone()
        self._events, self._size = int(row[0]), int(row[1])

    @property
    def state(self) -> SpoolState:
        """The numbers now."""
        with self._changed:
            return SpoolState(self._events, self._size, self._taken, self._dropped, self._refused)

    def put(self, line: bytes) -> int:
        """Stores an event; it is on the disk when this returns.

        Returns:
            Events that were dropped to make room.

        Raises:
            SinkError: The disk is full, or the spool is and stays so.
        """
        with self._changed:
            if len(line) > self._limit:
                raise SinkError(
                    f"{self.path}: an event of {len(line)} bytes is larger than the whole spool; "
                    "raise kafka.spool_bytes"
                )
            dropped = 0
            if self._size + len(line) > self._limit:
                dropped = self._make_room(len(line))
            with self._errors("event not stored"):
                self._open.execute("INSERT INTO events (line) VALUES (?)", (line,))
            self._events += 1
            self._taken += 1
            self._size += len(line)
            self._changed.notify_all()
            return dropped

    def after(self, number: int, count: int) -> list[Stored]:
        """Reads the next events, oldest first, and leaves them in the spool.

        Args:
            number: They come after this one; 0 for the oldest there is.
            count: At most so many.
        """
        with self._changed, self._errors("cannot be read"):
            rows = self._open.execute(
                # A damaged page may give a value any type.
                "SELECT number, ifnull(CAST(line AS BLOB), x'') FROM events "
                "WHERE number > ? ORDER BY number LIMIT ?",
                (number, count),
            )
            return [Stored(*row) for row in rows]

    def remove(self, numbers: Sequence[int]) -> None:
        """Forgets events that somebody has; numbers that are gone are ignored."""
        with self._changed, self._errors("cannot be written"), _transaction(self._open):
            self._delete(numbers)

    def refuse(self, number: int, reason: str) -> None:
        """Keeps an event apart that nobody will ever take, so that those behind it go on."""
        with self._changed, self._errors("cannot be written"), _transaction(self._open):
            moved = self._open.execute(
                "INSERT OR IGNORE INTO refused SELECT number, line, ? FROM events WHERE number = ?",
                (reason, number),
            )
            self._refused += moved.rowcount
            self._delete([number])

    def wait(self, number: int, seconds: float) -> None:
        """Returns when there is an event after a number, when woken, or after a while."""
        with self._changed:
            if not self._stopped and not self._newer(number):
                self._changed.wait(seconds)

    def wait_empty(self, seconds: float) -> bool:
        """Waits until every event is taken; a `wake` ends it early.

        Returns:
            Whether the spool is empty.
        """
        with self._changed:
            self._wait_for(lambda: self._events == 0, seconds)
            return self._events == 0

    def wake(self) -> None:
        """Ends all waiting, now and later: whoever took events has stopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Closes the file; may be called twice."""
        with self._changed:
            if self._database is not None:
                self._database.close()
                self._database = None

    @property
    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise SinkError(f"{self.path}: not open")
        return self._database

    def _wait_for(self, there: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not (there() or self._stopped or self._hurry.is_set()):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(min(left, _POLL))

    def _newer(self, number: int) -> bool:
        row = self._open.execute("SELECT 1 FROM events WHERE number > ? LIMIT 1", (number,))
        return row.fetchone() is not None

    def _delete(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            gone = self._open.execute(
                "DELETE FROM events WHERE number = ? RETURNING length(line)", (number,)
            ).fetchall()
            self._events -= len(gone)
            self._size -= sum(int(length) for (length,) in gone)
        self._changed.notify_all()

    def _make_room(self, wanted: int) -> int:
        if self._full == "wait":
            self._wait_for(lambda: self._size + wanted <= self._limit, self._patience)
            if self._size + wanted > self._limit:
                raise SinkError(
                    f"{self.path}: spool full: {self._events} events of {self._size} bytes wait, "
                    f"and there was no room for another in {self._patience:g} s"
                )
            return 0
        dropped: list[int] = []
        excess = self._size + wanted - self._limit
        rows = self._open.execute("SELECT number, length(line) FROM events ORDER BY number")
        for number, length in rows:
            dropped.append(int(number))
            excess -= int(length)
            if excess <= 0:
                break
        rows.close()
        with self._errors("cannot be written"), _transaction(self._open):
            self._delete(dropped)
        self._dropped += len(dropped)
        return len(dropped)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_busy(error):
                raise SinkError(f"{self.path}: the spool is in use by another process") from error
            raise SinkError(f"{self.path}: {what}: {error}") from error
        # Names in a damaged file need not be text.
        except UnicodeDecodeError as error:
            raise SinkError(f"{self.path}: {what}: damaged") from error


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has the file."""
    return error.sqlite_errorname.startswith("SQLITE_BUSY")


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
