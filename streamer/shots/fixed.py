"""Fixed windows for input that has sound only."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.shots.step import Step
from streamer.timeline import Instant, Shot

if TYPE_CHECKING:
    from streamer.shots.step import ShotOptions
    from streamer.timeline import ShotEnd


@dataclass(frozen=True, slots=True)
class WindowState:
    """What a splitter into windows remembers when one has just closed.

    Attributes:
        origin: Where the first window began.
        start: Where the running one began.
        count: Edges passed since the origin.
        index: Of the running window.
    """

    origin: Instant
    start: Instant
    count: int
    index: int


class FixedSplitter:
    """Closes a shot every ``sound_only_seconds``, to the nearest tick of the sound's clock.

    A gap in the sound becomes one longer window that ends on a multiple of the window, so that
    a leap of hours does not make thousands of empty shots.

    Args:
        options: The length of a window.
    """

    def __init__(self, options: ShotOptions) -> None:
        self._window = Fraction(options.sound_only_seconds).limit_denominator(10**6)
        self._origin: Instant | None = None
        self._start: Instant | None = None
        self._latest: Instant | None = None
        self._count = 0
        self._index = 0

    @property
    def latency_frames(self) -> int:
        """A window is closed with the first block at or after its end."""
        return 0

    def state(self) -> WindowState:
        """What another splitter needs to go on; after a `push` that closed a window."""
        assert self._origin is not None
        assert self._start is not None
        return WindowState(self._origin, self._start, self._count, self._index)

    def resume(self, state: WindowState) -> None:
        """Goes on from a state; the next block begins at ``state.start`` or later."""
        self._origin, self._start = state.origin, state.start
        self._latest = state.start
        self._count, self._index = state.count, state.index

    def push(self, start: Instant) -> Step:
        """Takes the start of the next block of sound.

        Args:
            start: When its first sample sounds; not earlier than the block before.

        Returns:
            Windows that closed, and the time before which no window can end any more.

        Raises:
            ValueError: The block is earlier than the one before.
        """
        if self._latest is not None and start < self._latest:
            raise ValueError(f"sound at {start.seconds} s is before the last block")
        self._latest = start
        if self._origin is None or self._start is None:
            self._origin = self._start = start
            return Step((), start)
        closed: list[Shot] = []
        passed = (start.seconds - self._origin.seconds) // self._window
        if self._edge(passed + 1) <= start:
            # The next edge is rounded down to this very tick.
            passed += 1
        while self._edge(self._count + 1) <= start:
            # After a gap: one whole window, then all the rest of the gap at once.
            jump = self._count + 1 if not closed else max(passed, self._count + 1)
            self._count = jump if self._edge(jump) <= start else jump - 1
            closed.append(self._close(self._edge(self._count), "window"))
        return Step(tuple(closed), start)

    def finish(self, end: Instant) -> tuple[Shot, ...]:
        """Closes the last window, which may be shorter.

        Args:
            end: When the last block ends.

        Returns:
            The remaining shots; empty when no sound came.

        Raises:
            ValueError: The end lies before the last block.
        """
        if self._latest is None:
            return ()
        if end < self._latest:
            raise ValueError(f"the end at {end.seconds} s is before the last block")
        closed = self.push(end).closed
        if closed and closed[-1].end == end:
            last = closed[-1]
            return (*closed[:-1], Shot(last.index, last.start, end, "end"))
        return (*closed, self._close(end, "end"))

    def _edge(self, number: int) -> Instant:
        assert self._origin is not None
        ticks = round(number * self._window / self._origin.time_base)
        return Instant(self._origin.pts + ticks, self._origin.time_base)

    def _close(self, end: Instant, kind: ShotEnd) -> Shot:
        assert self._start is not None
        shot = Shot(self._index, self._start, end, kind)
        self._index += 1
        self._start = end
        return shot
