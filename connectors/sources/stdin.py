"""A pipe: standard input or a named pipe."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from streamer.connectors.sources.file import FollowedSource, check_file
from streamer.connectors.sources.source import Opening

if TYPE_CHECKING:
    from pathlib import Path

WAIT_SECONDS = 1.0


class PipeSource(FollowedSource):
    """Read a pipe without ever blocking for good.

    Args:
        pipe: An open file descriptor, which stays open, or the path of a named pipe.
        idle_timeout: Seconds without a byte after which the input has ended; None waits for
            the other end to close.
    """

    def __init__(self, pipe: int | Path, idle_timeout: float | None = None) -> None:
        name = "-" if isinstance(pipe, int) else str(pipe)
        super().__init__(name, idle_timeout)
        self._pipe = pipe
        self._fd = -1
        self._heard_anything = False
        self._wake_read = self._wake_write = -1

    @property
    def replays(self) -> bool:
        """Return False: what was read is gone."""
        return False

    def open(self) -> Opening:
        """Open a named pipe; a descriptor is open already.

        Returns:
            This object, which is its own byte stream.

        Raises:
            SourceError: As :func:`streamer.connectors.sources.file.check_file` says.
        """
        if isinstance(self._pipe, int):
            self._fd = self._pipe
        else:
            check_file(self._pipe)
            # Without O_NONBLOCK the call would wait for a writer where nothing can stop it.
            self._fd = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        return Opening(self)

    def _next(self, size: int, left: float) -> bytes | None:
        if self._fd < 0:
            raise ValueError("read before open")
        if self._fd not in _ready([self._fd, self._wake_read], min(WAIT_SECONDS, left)):
            return None
        try:
            data = os.read(self._fd, size if size > 0 else 65536)
        except BlockingIOError:
            return None
        if data or self._heard_anything or isinstance(self._pipe, int):
            self._heard_anything = True
            return data
        # A named pipe reads as ended until its first writer comes.
        _ready([self._wake_read], min(left, 0.05))
        return None

    def stop(self) -> None:
        """Wake a waiting read, which then ends the input."""
        self._stopped = True
        try:
            os.write(self._wake_write, b"x")
        except OSError:
            # Full: a wake-up is waiting already. Not open: no read is waiting.
            return

    def close(self) -> None:
        """Close what this object opened itself."""
        if self._wake_write < 0:
            return
        if not isinstance(self._pipe, int) and self._fd >= 0:
            os.close(self._fd)
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._fd = self._wake_read = self._wake_write = -1


def _ready(descriptors: list[int], seconds: float) -> set[int]:
    # Not `select`, which knows the first 1,024 descriptors only, nor epoll, which knows no files.
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
