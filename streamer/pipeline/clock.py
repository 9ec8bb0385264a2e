"""The wall clock of pictures, kept until their shots have come out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.timeline import Instant, Picture


class ClockTrail:
    """Remembers when recent pictures were real; bounded by the length of a shot."""

    def __init__(self) -> None:
        self._trail: deque[tuple[Instant, float | None, float | None]] = deque()

    def note(self, picture: Picture) -> None:
        """Remembers a picture that has a wall clock; others cost nothing."""
        if picture.wallclock is not None or picture.arrival is not None:
            self._trail.append((picture.start, picture.wallclock, picture.arrival))

    def take(self, start: Instant) -> tuple[float | None, float | None]:
        """Wall clock and arrival of the picture at ``start``; forgets everything before it."""
        while self._trail and self._trail[0][0] < start:
            self._trail.popleft()
        if self._trail and self._trail[0][0] == start:
            _, wallclock, arrival = self._trail[0]
            return wallclock, arrival
        return None, None
