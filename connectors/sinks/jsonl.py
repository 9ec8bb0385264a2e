"""Events as JSON Lines on standard output or at the end of a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streamer.connectors.sinks.sink import ConsumerGone
from streamer.errors import SinkError
from streamer.events.cloudevent import to_line
from streamer.files import sync_folder, unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloudevents.core.v1.event import CloudEvent

READER_SECONDS: Final = 10.0
"""For somebody to open the other end of a named pipe."""

ROOM_SECONDS: Final = 60.0
"""For whoever reads a named pipe or a device to take something from it."""

_POLL: Final = 0.1


class StdoutSink:
    """One line an event on a file descriptor, handed to the system at once.

    Args:
        descriptor: 1, or any open descriptor; it is not closed.
    """

    name = "standard output"

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor

    def open(self) -> None:
        """Checks that there is a standard output."""
        try:
            os.fstat(self._descriptor)
        except OSError as error:
            raise SinkError(f"standard output is closed: {error.strerror}") from error

    def add(self, event: CloudEvent) -> None:
        """Writes a line; `ConsumerGone` when the other end of the pipe is closed."""
        _write(self._descriptor, to_line(event), self.name)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Leaves the descriptor to its owner."""


class FileSink:
    """Appends to a file, whole lines only, also beside other writers.

    Args:
        path: Made when missing; an existing file has to be JSON Lines. Named pipes and devices
            are written as they are.
        hurry: Once set, nobody who reads a pipe is waited for.
    """

    def __init__(self, path: Path, hurry: threading.Event | None = None) -> None:
        self._path, self._hurry = path, hurry or threading.Event()
        self._descriptor: int | None = None
        self._regular = False
        self._unsynced = False

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    def open(self) -> None:
        """Opens for appending; waits up to ten seconds for the reader of a named pipe.

        Raises:
            SinkError: It cannot be written, holds something else than events, or nobody reads it.
        """
        if self._descriptor is not None:
            return
        if wrong := unusable(self._path):
            raise SinkError(f"{self.name}: {wrong}")
        try:
            descriptor = self._open()
        except OSError as error:
            raise SinkError(f"{self.name}: cannot be written: {error.strerror}") from error
        try:
            self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if self._regular:
                with _locked(descriptor):
                    self._mend(descriptor)
                sync_folder(self._path.parent)
        except OSError as error:
            os.close(descriptor)
            raise SinkError(f"{self.name}: cannot be written: {error.strerror}") from error
        except SinkError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def add(self, event: CloudEvent) -> None:
        """Writes a line; a file that cannot take all of it is left without it.

        Raises:
            SinkError: There is no room, or whoever reads the pipe takes nothing for a minute.
            ConsumerGone: Nobody reads the pipe any more.
        """
        if self._descriptor is None:
            raise SinkError(f"{self.name}: not open")
        line = to_line(event)
        if not self._regular:
            _write(self._descriptor, line, self.name, self._wait)
            return
        self._unsynced = True
        with _locked(self._descriptor):
            before = os.fstat(self._descriptor).st_size
            try:
                _write(self._descriptor, line, self.name)
            except SinkError:
                # Another writer's line would go on where this one broke off.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, before)
                raise

    def flush(self) -> None:
        """Puts what was written on the disk, so that a power cut does not take it."""
        self.sync()

    def sync(self) -> None:
        """Puts what was written on the disk, so that a power cut does not take it.

        Raises:
            SinkError: The disk does not take it.
        """
        if self._descriptor is None or not self._unsynced:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise SinkError(f"{self.name}: not on the disk: {error.strerror}") from error
        self._unsynced = False

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        # A pipe that nobody reads would block for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        deadline = time.monotonic() + READER_SECONDS
        while True:
            try:
                return os.open(self._path, flags, 0o666)
            except OSError as error:
                if error.errno != errno.ENXIO or not self._path.is_fifo():
                    raise
                if self._hurry.is_set() or time.monotonic() >= deadline:
                    raise SinkError(f"{self.name}: nobody reads this pipe") from error
            self._hurry.wait(_POLL)

    def _wait(self) -> None:
        """Waits for room in a pipe or device."""
        assert self._descriptor is not None
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        deadline = time.monotonic() + ROOM_SECONDS
        while not self._hurry.is_set() and time.monotonic() < deadline:
            if room.poll(1000 * _POLL):
                return
        raise SinkError(f"{self.name}: whoever reads this pipe takes nothing from it")

    def _mend(self, descriptor: int) -> None:
        """Ends a line that a full disk or a kill has torn, so that the next one stays whole."""
        with self._path.open("rb") as file:
            first = file.read(1)
            if not first:
                return
            if first != b"{":
                raise SinkError(
                    f"{self.name}: holds something else than events; not appending to it"
                )
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                _write(descriptor, b"\n", self.name)


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _write(descriptor: int, line: bytes, name: str, wait: Callable[[], None] | None = None) -> None:
    rest = memoryview(line)
    try:
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                if wait is None:
                    raise
                wait()
    except BrokenPipeError as error:
        raise ConsumerGone(name) from error
    except OSError as error:
        raise SinkError(f"{name}: event not written: {error.strerror}") from error
