"""Which pictures of a shot become key frames."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    from streamer.timeline import Picture


class KeyFrames:
    """Picks key frames from pictures that a cut can no longer claim.

    The first key frame is the first picture ``offset`` seconds into the shot, then one every
    ``interval``; a shot too short for any gives its last picture.

    Args:
        offset: Seconds skipped after a cut (a dissolve may still be under way there).
        interval: Seconds between key frames of one shot.
    """

    def __init__(self, offset: Fraction, interval: Fraction) -> None:
        self._offset, self._interval = offset, interval
        self._held: deque[Picture] = deque()
        self._last: Picture | None = None
        self._due: Fraction | None = None
        self._none_yet = True

    def push(self, picture: Picture) -> None:
        """Holds a picture until the watermark or a cut says which shot it belongs to."""
        self._held.append(picture)

    def take(self, shot_start: Fraction, until: Fraction) -> list[Picture]:
        """Key frames among the held pictures of the shot that begin before ``until``."""
        if self._due is None:
            self._due = shot_start + self._offset
        taken = []
        while self._held and self._held[0].start.seconds < until:
            self._last = self._held.popleft()
            if self._last.start.seconds >= self._due:
                taken.append(self._last)
                late = self._last.start.seconds - self._due
                self._due += (late // self._interval + 1) * self._interval
        if taken:
            self._none_yet = False
        return taken

    def close(self, shot_start: Fraction, end: Fraction) -> list[Picture]:
        """The key frames still to be taken from the shot ``[shot_start, end)``."""
        taken = self.take(shot_start, end)
        if self._none_yet and self._last is not None:
            taken = [self._last]
        self._due = self._last = None
        self._none_yet = True
        return taken
