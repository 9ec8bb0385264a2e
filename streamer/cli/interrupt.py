"""SIGINT and SIGTERM as a polite request to stop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Calls ``stop`` at the first signal; a second one interrupts at once.

    Args:
        stop: Must return quickly and be safe at any moment.

    Yields:
        The signals received so far.
    """
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(number: int, frame: FrameType | None) -> None:
        received.append(number)
        restore()
        stop()

    for number in before:
        signal.signal(number, first)
    try:
        yield received
    finally:
        restore()
