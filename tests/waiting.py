"""Waits until something is so, and fails with what was awaited when it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 0.02


def until(
    condition: Callable[[], object], what: str | Callable[[], object], *, seconds: float = 60.0
) -> None:
    """Asks again and again.

    Args:
        condition: True once the wait is over.
        what: Is awaited; when called, what there is instead.
        seconds: Until it counts as a failure.

    Raises:
        AssertionError: The condition never held.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        in_time = time.monotonic() < deadline
        assert in_time, f"not after {seconds:g} s: {what() if callable(what) else what}"
        time.sleep(PAUSE)
