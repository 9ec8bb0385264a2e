"""Ends a process that does not get on, or that should have ended and does not."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK: Final = 0.25
_SAY_SECONDS: Final = 1.0


class Watchdog:
    """A thread that ends its process when a time that was allowed has passed.

    Libraries that wait for ever, a loop that stands still and threads that cannot be joined at exit
    are all ended by it: whoever supervises the process starts it again. It does nothing before the
    first call of `allow`.

    Args:
        code: Exit code of a process that it ends.
        say: Takes one line for people, from its thread.
        clock: Seconds, from anywhere.
    """

    def __init__(
        self, code: int, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._code, self._say, self._clock = code, say, clock
        self._lock = threading.Lock()
        self._until: tuple[float, str] | None = None

    def allow(self, seconds: float, reason: str) -> None:
        """Lets the process go on for so long, counted from now.

        Args:
            seconds: Until the next call at the latest.
            reason: What to say when it does not come.
        """
        with self._lock:
            first = self._until is None
            self._until = self._clock() + seconds, reason
        if first:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(_TICK)
            with self._lock:
                assert self._until is not None
                until, reason = self._until
                # Who is heard from meanwhile is not late.
                late = self._clock() > until
            if late:
                # Whoever should read it may not.
                said = threading.Thread(target=self._say, args=(reason,), daemon=True)
                said.start()
                said.join(_SAY_SECONDS)
                os._exit(self._code)
