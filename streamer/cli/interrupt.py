"""SIGINT and SIGTERM as a polite request to stop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal came before there was anything to stop.

    A class of its own: where a plain KeyboardInterrupt passes through ``exec`` of a text, as
    imports do, CPython kills the process at its end although the exception was caught.
    """


class Interruption:
    """What the first SIGINT or SIGTERM does; a second one interrupts at once.

    It raises `Interrupted` until there is something to stop.
    """

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

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handles the signals while the context lasts."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def first(number: int, frame: FrameType | None) -> None:
            restore()
            self._received = True
            if self._stop is None:
                raise Interrupted
            self._stop()

        try:
            for number in before:
                signal.signal(number, first)
            yield
        finally:
            restore()
