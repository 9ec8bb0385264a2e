"""Events as JSON Lines on standard output or at the end of a file."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from connectors.sinks.sink import ConsumerGone
from streamer.errors import SinkError
from streamer.events.cloudevent import to_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cloudevents.core.v1.event import CloudEvent


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
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._shared = False

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    def open(self) -> None:
        """Opens for appending.

        Raises:
            SinkError: It cannot be written, or holds something else than events.
        """
        if self._descriptor is not None:
            return
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o666)
        except OSError as error:
            raise SinkError(f"{self.name}: cannot be written: {error.strerror}") from error
        try:
            self._shared = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if self._shared:
                with _locked(descriptor):
                    self._mend(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise SinkError(f"{self.name}: cannot be written: {error.strerror}") from error
        except SinkError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def add(self, event: CloudEvent) -> None:
        """Writes a line."""
        if self._descriptor is None:
            raise SinkError(f"{self.name}: not open")
        with _locked(self._descriptor) if self._shared else nullcontext():
            _write(self._descriptor, to_line(event), self.name)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

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


def _write(descriptor: int, line: bytes, name: str) -> None:
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BrokenPipeError as error:
        raise ConsumerGone(name) from error
    except OSError as error:
        raise SinkError(f"{name}: event not written: {error.strerror}") from error
