"""How long to wait before a source is tried again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.config.sections import ReconnectSection


class Backoff:
    """Exponential back-off with full jitter.

    The wait after the n-th failure in a row is drawn evenly from 0 to ``first_wait_seconds * 2^n``,
    at most ``max_wait_seconds``: many streams that lost one server do not come back all at once.

    Args:
        settings: Bounds.
        seed: Makes the waits repeatable; None draws them from the system.
    """

    def __init__(self, settings: ReconnectSection, seed: int | None = None) -> None:
        self._settings = settings
        self._random = random.Random(seed)  # noqa: S311 -- spreads load, guards nothing
        self.attempts = 0

    def next(self) -> float | None:
        """Counts a failure.

        Returns:
            Seconds to wait before the next attempt; None when there have been enough.
        """
        if self._settings.attempts and self.attempts >= self._settings.attempts:
            return None
        # 2^63 is beyond every bound; a float would overflow after months of failures.
        ceiling = self._settings.first_wait_seconds * 2.0 ** min(self.attempts, 63)
        self.attempts += 1
        return self._random.uniform(0.0, min(ceiling, self._settings.max_wait_seconds))

    def reset(self) -> None:
        """Says that a connection has proved itself."""
        self.attempts = 0
