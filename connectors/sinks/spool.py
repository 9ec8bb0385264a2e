"""Keep events on disk, in order, until a broker has them.

SQLite is the journal: a put is one transaction that is on the disk before it returns, a process
that is killed leaves whole events only, and the file's lock keeps a second process out. Each event
is sealed (`streamer.saved`): one that is damaged is put into the table ``refused``.

A file beside it is the reserve. Where the disk is full to the last byte, its blocks let the
write-ahead log move into the file; from then on a rollback journal of fixed size is enough to take
events out, however many there are.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from streamer.errors import SinkError, StateDamaged, StateError
from streamer.files import PRIVATE, put_aside, sync_folder
from streamer.saved import MAGIC, OVERHEAD, is_sealed, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ENDING: Final = ".spool"
FORMAT: Final = 2
RESERVE: Final = 2 << 20
"""Bytes kept for a full disk: what the write-ahead log holds, an event and the rollback journal."""

_LOG_PAGES: Final = 128
_LOG_BYTES: Final = 640 << 10
_JOURNAL_BYTES: Final = 512 << 10
# Bytes of an event, without its seal.
_LENGTH: Final = f"(length(line) - iif(substr(line, 1, 4) = x'{MAGIC.hex()}', {OVERHEAD}, 0))"
NUMBERS: Final = f"SELECT count(*), total({_LENGTH}), (SELECT count(*) FROM refused) FROM events"  # noqa: S608 -- constants
"""Events that wait, their bytes, and events that are refused."""

_LENGTHS: Final = f"SELECT number, {_LENGTH} FROM events ORDER BY number"  # noqa: S608 -- constants
_TAKE: Final = f"DELETE FROM events WHERE number = ? RETURNING line, {_LENGTH}"  # noqa: S608 -- constants

DAMAGE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises; the words of an error may come from the file."""

_AT_ONCE: Final = 32
_POLL: Final = 0.1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (note BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, line BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refused (
    number INTEGER PRIMARY KEY, line BLOB NOT NULL, reason TEXT NOT NULL
);
"""


class About(BaseModel):
    """Whose events a spool holds.

    Attributes:
        target: Where they go.
        stream: Its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    stream: str


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
        warn: Takes one line about damage, from any thread.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        full: Literal["wait", "drop-oldest"] = "wait",
        patience: float = 60.0,
        hurry: threading.Event | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.path = path
        self._hurry = hurry or threading.Event()
        self._limit, self._full, self._patience = limit, full, patience
        self._warn = warn
        self._changed = threading.Condition()
        self._database: sqlite3.Connection | None = None
        self._events = self._size = self._taken = self._dropped = self._refused = 0
        self._stopped = self._reserved = self._clogged = False
        # Events of 0.1.0 without a seal are taken as they are.
        self._bare = False
        # Damaged events for which the disk had no room in the other table so far.
        self._damaged: dict[int, str] = {}

    def open(self, target: str, stream: str) -> None:
        """Open the file and find what an earlier process left.

        A file that SQLite cannot read any more is put aside, and the events that can be read are
        taken over.

        Args:
            target: Where the events go, for whoever finds the file.
            stream: Whose they are.

        Raises:
            SinkError: It cannot be written, a newer version of the program wrote it, or another
                process has it open.
        """
        about = About(target=target, stream=stream)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"{self.path.parent}: cannot be made: {error.strerror}") from error
        with self._errors("cannot be opened"):
            try:
                self._database = self._prepared(self.path, about)
            except DAMAGE as error:
                if not _is_damage(error):
                    raise
                self._rescue(error, about)
                self._database = self._prepared(self.path, about)
        self._stopped = False

    def _prepared(self, path: Path, about: About) -> sqlite3.Connection:
        database = connect(path)
        try:
            self._reserved = _allocate(_reserve(path), RESERVE)
            with _unless_full():
                # Where it stays as it is, events can be read at least.
                database.execute(f"PRAGMA journal_mode = {'WAL' if self._reserved else 'PERSIST'}")
            # The lock stays from here on.
            database.execute("BEGIN EXCLUSIVE")
            database.execute("COMMIT")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            self._bare = version == 1
            if version:
                self._check(database, version)
            else:
                database.executescript(
                    f"BEGIN EXCLUSIVE; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT"
                )
                sync_folder(path.parent)
            if self._bare:
                self._renew(database)
            if not self._bare:
                self._sign(database, about)
            row = database.execute(NUMBERS).fetchone()
            self._events, self._size = int(row[0]), int(row[1])
        except BaseException:
            database.close()
            raise
        return database

    def _check(self, database: sqlite3.Connection, version: int) -> None:
        """Raise an error about a file that is damaged or newer."""
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != b"ok":
            raise sqlite3.DatabaseError(found.decode(errors="replace"))
        if version == 1:
            return
        try:
            read_about(database, self.path)
        except StateDamaged:
            # Written again; its content is known.
            return
        except StateError as error:
            raise SinkError(str(error)) from error

    def _renew(self, database: sqlite3.Connection) -> None:
        """Write a spool of version 0.1.0 in the present form, where the disk has room for that."""
        with _unless_full(), _transaction(database):
            rows = database.execute("SELECT number, line FROM events").fetchall()
            database.executemany(
                "UPDATE events SET line = ? WHERE number = ?",
                [(seal("event", body=line), number) for number, line in rows if line[:1] == b"{"],
            )
            database.execute("DROP TABLE about")
            database.execute("CREATE TABLE about (note BLOB NOT NULL)")
            database.execute(f"PRAGMA user_version = {FORMAT}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        self._bare = version == 1

    def _sign(self, database: sqlite3.Connection, about: About) -> None:
        try:
            if read_about(database, self.path) is not None:
                return
        except StateError:
            pass
        with _unless_full(), _transaction(database):
            database.execute("DELETE FROM about")
            database.execute(
                "INSERT INTO about VALUES (?)", (seal("spool", about.model_dump_json()),)
            )

    def _rescue(self, damage: Exception, about: About) -> None:
        """Put a damaged file aside, with a new one of all events in it that can be read."""
        fresh = self.path.with_name(f"{self.path.name}.new")
        lines: dict[int, bytes] = {}
        with suppress(*DAMAGE), closing(connect(self.path)) as old:
            for rows in (
                "SELECT number, line FROM events ORDER BY number",
                "SELECT number, line FROM events ORDER BY number DESC",
            ):
                with suppress(*DAMAGE):
                    lines |= dict(old.execute(rows))
        try:
            for path in (fresh, _log(fresh), _journal(fresh), _reserve(fresh)):
                path.unlink(missing_ok=True)
            with closing(self._prepared(fresh, about)) as new, _transaction(new):
                new.executemany(
                    "INSERT INTO events VALUES (?, ?)",
                    [
                        (number, line)
                        for number, line in sorted(lines.items())
                        if isinstance(line, bytes) and is_sealed(line)
                    ],
                )
            aside = put_aside(self.path)
            for of in (_log, _journal):
                with suppress(FileNotFoundError):
                    of(self.path).replace(of(aside))
            _reserve(fresh).unlink(missing_ok=True)
            fresh.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise SinkError(f"{self.path}: damaged, cannot be put aside: {error}") from error
        self._warn(
            f"{self.path}: damaged ({damage}); put aside as {aside.name}; "
            f"{len(lines)} events in it can be read and are taken over"
        )

    def _spend(self) -> bool:
        """Use the reserve: the disk is full and events have to be taken out.

        Returns:
            False when there is none.
        """
        if not self._reserved:
            return False
        self._reserved = False
        _reserve(self.path).unlink(missing_ok=True)
        # The log moves into the file and is deleted, which makes room for the journal.
        self._open.execute("PRAGMA journal_mode = PERSIST")
        _allocate(_journal(self.path), _JOURNAL_BYTES)
        return True

    def _take_out(self, change: Callable[[], list[int]]) -> int:
        """Run a transaction that takes events out, on a full disk also.

        Args:
            change: Returns their lengths.

        Returns:
            How many there were.
        """
        try:
            with _transaction(self._open):
                gone = change()
        except sqlite3.OperationalError as error:
            if not (_is_full(error) and self._spend()):
                raise
            with _transaction(self._open):
                gone = change()
        self._events -= len(gone)
        self._size -= sum(gone)
        self._changed.notify_all()
        return len(gone)

    def _shrink(self, database: sqlite3.Connection) -> None:
        def step() -> list[int]:
            database.execute(f"PRAGMA incremental_vacuum({_LOG_PAGES})").fetchall()
            return []

        before, (left,) = -1, database.execute("PRAGMA freelist_count").fetchone()
        while left and left != before:
            self._take_out(step)
            before, (left,) = left, database.execute("PRAGMA freelist_count").fetchone()

    def _unclog(self) -> None:
        """Move the log into the file before it holds more than the reserve."""
        (_, pages, moved) = self._open.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._clogged = pages > moved

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
                # What could not be taken out of the file on a full disk is not put in.
                self._reserved = self._reserved or _allocate(_reserve(self.path), RESERVE)
                if self._reserved and self._clogged:
                    self._unclog()
                if not self._reserved or self._clogged:
                    raise SinkError(f"{self.path}: event not stored: no space left on the disk")
                sealed = seal("event", body=line)
                self._open.execute("INSERT INTO events (line) VALUES (?)", (sealed,))
                self._clogged = _size(_log(self.path)) > _LOG_BYTES
            self._events += 1
            self._taken += 1
            self._size += len(line)
            self._changed.notify_all()
            return dropped

    def after(self, number: int, count: int) -> list[Stored]:
        """Read the next events, oldest first, and leave them in the spool.

        Args:
            number: They come after this one; 0 for the oldest there is.
            count: At most so many.
        """
        found: list[Stored] = []
        damaged: dict[int, str] = {}
        with self._changed, self._errors("cannot be read"):
            more = True
            while more and len(found) < count:
                wanted = count - len(found)
                rows = self._open.execute(
                    "SELECT number, line FROM events WHERE number > ? ORDER BY number LIMIT ?",
                    (number, wanted),
                ).fetchall()
                more = len(rows) == wanted
                for number, line in rows:
                    try:
                        found.append(Stored(number, self._unsealed(number, line)))
                    except StateError as error:
                        if number not in self._damaged:
                            damaged[number] = str(error)
            self._damaged |= damaged
            self._put_away()
        for reason in damaged.values():
            self._warn(f"{reason}; it is kept in the table refused")
        return found

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget events that a broker has; numbers that are gone are ignored."""
        with self._changed, self._errors("cannot be written"):
            for start in range(0, len(numbers), _AT_ONCE):
                self._take_out(partial(self._delete, numbers[start : start + _AT_ONCE]))
            self._put_away()

    def refuse(self, number: int, reason: str) -> None:
        """Keep an event apart that nobody will ever take, so that those after it are sent."""
        with self._changed, self._errors("cannot be written"):
            self._damaged[number] = reason
            self._put_away()

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
                if not self._events:
                    # Nothing has to be taken out; the disk gets back what the events took.
                    with suppress(*DAMAGE):
                        self._shrink(self._database)
                    _reserve(self.path).unlink(missing_ok=True)
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

    def _unsealed(self, number: int, line: object) -> bytes:
        place = f"{self.path}: event {number}"
        if not isinstance(line, bytes):
            raise StateDamaged(f"{place}: damaged: it is no text")
        if self._bare and line.startswith(b"{"):
            return line
        return unseal(line, "event", place).body

    def _put_away(self) -> None:
        """Move damaged events to the other table, once there is room for them."""
        for number, reason in list(self._damaged.items()):
            # Where it is, other events that leave make room.
            with _unless_full():
                self._refused += self._take_out(partial(self._move, number, reason))
                del self._damaged[number]

    def _move(self, number: int, reason: str) -> list[int]:
        row = self._open.execute(_TAKE, (number,)).fetchone()
        if row is None:
            return []
        line, length = row
        with suppress(StateError):
            line = self._unsealed(number, line)
        self._open.execute(
            "INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", (number, line or b"", reason)
        )
        return [int(length or 0)]

    def _delete(self, numbers: Sequence[int]) -> list[int]:
        return [
            int(length or 0)
            for number in numbers
            for _, length in self._open.execute(_TAKE, (number,)).fetchall()
        ]

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
        rows = self._open.execute(_LENGTHS)
        for number, length in rows:
            dropped.append(int(number))
            excess -= int(length)
            if excess <= 0:
                break
        rows.close()
        with self._errors("cannot be written"):
            self._take_out(partial(self._delete, dropped))
        self._dropped += len(dropped)
        return len(dropped)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except DAMAGE as error:
            if is_busy(error):
                raise SinkError(f"{self.path}: the spool is in use by another process") from error
            raise SinkError(f"{self.path}: {what}: {error}") from error
        # Names in a damaged file need not be text.
        except UnicodeDecodeError as error:
            raise SinkError(f"{self.path}: {what}: damaged") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a file of events for this process alone.

    Raises:
        sqlite3.Error: It cannot be opened, is no such file, or another process has it.
    """
    database = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        # Damaged text is no error while it is read.
        database.text_factory = bytes
        # Before the file is read: the log then needs no shared memory.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        if not _size(path):
            # What it took can be given back.
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA synchronous = FULL")
        # Deleted events would be overwritten, which the journal has no room for.
        database.execute("PRAGMA secure_delete = OFF")
        database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        database.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    except BaseException:
        database.close()
        raise
    return database


def read_about(database: sqlite3.Connection, path: Path) -> About | None:
    """Read whose events an open file holds, in the form of this version or of 0.1.0.

    Raises:
        StateDamaged: It is damaged.
        StateError: A newer version of the program wrote it.
        sqlite3.Error: The file is damaged.
    """
    row = database.execute("SELECT * FROM about").fetchone()
    if row is None:
        return None
    try:
        if len(row) == 2:
            return About(target=row[0].decode(), stream=row[1].decode())
        if not isinstance(row[0], bytes):
            raise StateDamaged(f"{path}: damaged")
        return About.model_validate_json(unseal(row[0], "spool", path).header)
    except (ValidationError, ValueError, AttributeError) as error:
        raise StateDamaged(f"{path}: damaged") from error


def _reserve(path: Path) -> Path:
    return path.with_name(f"{path.name}.reserve")


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _allocate(path: Path, size: int) -> bool:
    """Give a file blocks of its own; False where the disk has no room for them."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, PRIVATE)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
        except OSError:
            # A part of it helps nobody; a journal is used as it is.
            if path.name.endswith(".reserve"):
                path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
    except OSError:
        return False
    return True


def _is_damage(error: Exception) -> bool:
    """Whether a file is no spool, or not any more, rather than out of reach."""
    name = getattr(error, "sqlite_errorname", "")
    passing = ("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "PERM", "READONLY", "NOMEM")
    return not name.startswith(tuple(f"SQLITE_{each}" for each in passing))


def _is_full(error: Exception) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE"))


def is_busy(error: Exception) -> bool:
    """Whether another process has the file."""
    return getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")


@contextmanager
def _unless_full() -> Iterator[None]:
    """Leave undone what a full disk has no room for."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if not _is_full(error):
            raise


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
