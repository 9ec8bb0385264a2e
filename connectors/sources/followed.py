"""What another program on this machine still writes: it may pause, and ends when it falls idle."""

from __future__ import annotations

import math
import time
from abc import abstractmethod

from streamer.connectors.sources.source import SourceBase


class FollowedSource(SourceBase):
    """Reads until stopped, until the end, or until nothing came for too long.

    Args:
        name: For people.
        idle_timeout: Seconds without a byte after which the input has ended; None waits on.
    """

    def __init__(self, name: str, idle_timeout: float | None) -> None:
        super().__init__(name, live=True, endless=False)
        self._idle_timeout = math.inf if idle_timeout is None else idle_timeout
        self._over = False

    def read(self, size: int = -1, /) -> bytes:
        """Waits for bytes.

        Args:
            size: At most so many.

        Returns:
            Bytes; empty at the end, when stopped, and after the idle timeout, and then always.
        """
        deadline = time.monotonic() + self._idle_timeout
        while not (self._stopped or self._over):
            left = deadline - time.monotonic()
            data = self._next(size, max(0.0, left))
            if data:
                return data
            # Demuxers ask again at the end, and would wait as long again.
            self._over = data is not None or left <= 0
        return b""

    @abstractmethod
    def _next(self, size: int, left: float) -> bytes | None:
        """Waits a moment, and no longer than the seconds left; None when nothing has come."""

    def seekable(self) -> bool:
        """Never."""
        return False
