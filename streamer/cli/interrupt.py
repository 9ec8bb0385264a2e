"""SIGINT and SIGTERM as a polite request to stop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class Interruption:
    """What the first signal does: it raises KeyboardInterrupt, or stops what is running."""

    def __init__(self) -> None:
        self._received = False
        self._stop: Callable[[], None] | None = None

    @property
    def received(self) -> bool:
        """Whether a signal has come."""
        return self._received

    def stops(self, stop: Callable[[], None]) -> None:
        """Says what to do from now on instead of raising.

        Args:
            stop: Must return quickly and be safe at any moment.
        """
        self._stop = stop

    def arrive(self) -> None:
        """Acts on a signal."""
        self._received = True
        if self._stop is None:
            raise KeyboardInterrupt
        self._stop()


@contextmanager
def stop_on_signals() -> Iterator[Interruption]:
    """Handles the first SIGINT or SIGTERM; a second one interrupts at once.

    Yields:
        What the first one does.
    """
    interruption = Interruption()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(number: int, frame: FrameType | None) -> None:
        restore()
        interruption.arrive()

    for number in before:
        signal.signal(number, first)
    try:
        yield interruption
    finally:
        restore()
