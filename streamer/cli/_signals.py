"""Turn SIGINT and SIGTERM into a request to stop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Report a signal that came before there was anything to stop.

    A class of its own: where a plain KeyboardInterrupt passes through ``exec`` of a text, as
    imports do, CPython kills the process at its end although the exception was caught.
    """


class Interruption:
    """Handle the first SIGINT or SIGTERM; the second one has its default effect.

    The first raises `Interrupted` until `stops` has set a function to call instead.
    """

    def __init__(self) -> None:
        self._received = False
        self._stop: Callable[[], None] | None = None

    @property
    def received(self) -> bool:
        """Whether a signal has come."""
        return self._received

    def stops(self, stop: Callable[[], None]) -> None:
        """Set the function that a signal calls from now on.

        Args:
            stop: Returns quickly; safe to call at any moment.
        """
        self._stop = stop

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Install the handlers, and restore the previous ones on exit."""
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
