"""Plays a file at the speed of life."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

REBASE_SECONDS = 30.0


class Pace:
    """Holds media back until a monotonic clock has reached its time.

    The first media time seen is due at once. Being late is caught up without waiting. A leap of
    more than 30 s ahead is a gap in the timestamps, not a time to sleep: the clock leaps too.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._offset: float | None = None

    def due(self, seconds: Fraction) -> float | None:
        """When a media time is due.

        Args:
            seconds: Media time.

        Returns:
            A reading of :func:`time.monotonic`, None before anything was paced.
        """
        return None if self._offset is None else self._offset + float(seconds)

    def wait(self, seconds: Fraction, slack: float = 0.0) -> None:
        """Waits until a media time is due, or until stopped.

        Args:
            seconds: Media time.
            slack: How many seconds early is still in time.
        """
        now = time.monotonic()
        media = float(seconds)
        if self._offset is None or self._offset + media - now > REBASE_SECONDS:
            self._offset = now - media
        left = self._offset + media - slack - now
        if left > 0:
            self._stop.wait(left)

    def stop(self) -> None:
        """Ends the running wait and makes later ones return at once."""
        self._stop.set()
