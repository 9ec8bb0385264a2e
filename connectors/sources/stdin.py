"""A pipe: standard input or a named pipe."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from connectors.sources.file import check_file
from connectors.sources.source import Opening, SourceBase

if TYPE_CHECKING:
    from pathlib import Path

WAIT_SECONDS = 1.0


class PipeSource(SourceBase):
    """Reads a pipe without ever blocking for good.

    Args:
        pipe: An open file descriptor, which stays open, or the path of a named pipe.
        idle_timeout: Seconds without a byte after which the input has ended; None waits for
            the other end to close.
    """

    def __init__(self, pipe: int | Path, idle_timeout: float | None = None) -> None:
        name = "-" if isinstance(pipe, int) else str(pipe)
        super().__init__(name, live=True, endless=False)
        self._pipe = pipe
        self._idle_timeout = idle_timeout
        self._over = False
        self._fd = -1
        self._heard_anything = False
        self._wake_read = self._wake_write = -1

    @property
    def replays(self) -> bool:
        """What was read is gone."""
        return False

    def open(self) -> Opening:
        """Opens a named pipe; a descriptor is open already.

        Returns:
            This object, which is its own byte stream.

        Raises:
            SourceError: As :func:`connectors.sources.file.check_file` says.
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

    def read(self, size: int = -1, /) -> bytes:
        """Waits for bytes, in slices of a second.

        Args:
            size: At most so many bytes.

        Returns:
            Bytes; empty when the other end closed, when stopped, or after the idle timeout.
        """
        if self._fd < 0:
            raise ValueError("read before open")
        started = time.monotonic()
        while not (self._stopped or self._over):
            left = WAIT_SECONDS
            if self._idle_timeout is not None:
                left = min(left, started + self._idle_timeout - time.monotonic())
                if left <= 0:
                    # Demuxers ask again at the end, and would wait as long again.
                    self._over = True
                    break
            ready, _, _ = select.select([self._fd, self._wake_read], [], [], left)
            if self._fd not in ready:
                continue
            try:
                data = os.read(self._fd, size if size > 0 else 65536)
            except BlockingIOError:
                continue
            if data or self._heard_anything or isinstance(self._pipe, int):
                self._heard_anything = True
                return data
            # A named pipe reads as ended until its first writer comes.
            select.select([self._wake_read], [], [], min(left, 0.05))
        return b""

    def seekable(self) -> bool:
        """Never."""
        return False

    def stop(self) -> None:
        """Wakes a waiting read, which then ends the input."""
        self._stopped = True
        try:
            os.write(self._wake_write, b"x")
        except OSError:
            # Full: a wake-up is waiting already. Not open: no read is waiting.
            return

    def close(self) -> None:
        """Closes what this object opened itself."""
        if self._wake_write < 0:
            return
        if not isinstance(self._pipe, int) and self._fd >= 0:
            os.close(self._fd)
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._fd = self._wake_read = self._wake_write = -1
