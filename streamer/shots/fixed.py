"""Split audio into fixed windows where there is no video."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.shots.base import ShotBuilder, Step
from streamer.timeline import Shot, Timestamp

if TYPE_CHECKING:
    from streamer.shots.base import ShotOptions


@dataclass(frozen=True, slots=True)
class WindowState:
    """What a splitter into windows remembers when one has just closed.

    Attributes:
        origin: Where the first window began.
        start: Where the running one began.
        count: Edges passed since the origin.
        index: Of the running window.
    """

    origin: Timestamp
    start: Timestamp
    count: int
    index: int


class FixedSplitter:
    """Close a shot every ``sound_only_seconds``, to the nearest tick of the audio's clock.

    A gap in the audio becomes one longer window that ends on a multiple of the window, so that
    a leap of hours does not make thousands of empty shots.

    Args:
        options: The length of a window.
    """

    def __init__(self, options: ShotOptions) -> None:
        self._window = Fraction(options.sound_only_seconds).limit_denominator(10**6)
        self._origin: Timestamp | None = None
        self._shots = ShotBuilder()
        self._latest: Timestamp | None = None
        self._count = 0

    @property
    def latency_frames(self) -> int:
        """A window is closed with the first block at or after its end."""
        return 0

    def state(self) -> WindowState:
        """Return what another splitter needs to continue; after a `push` that closed a window."""
        assert self._origin is not None
        assert self._shots.start is not None
        return WindowState(self._origin, self._shots.start, self._count, self._shots.index)

    def resume(self, state: WindowState) -> None:
        """Resume from a state; the next block begins at ``state.start`` or later."""
        self._origin, self._shots.start = state.origin, state.start
        self._latest = state.start
        self._count, self._shots.index = state.count, state.index

    def push(self, start: Timestamp) -> Step:
        """Take the start of the next block of audio.

        Args:
            start: When its first sample sounds; not earlier than the block before.

        Returns:
            Windows that closed, and the time before which no window can end any more.

        Raises:
            ValueError: The block is earlier than the one before.
        """
        if self._latest is not None and start < self._latest:
            raise ValueError(f"audio at {start.seconds} s is before the last block")
        self._latest = start
        if self._origin is None or self._shots.start is None:
            self._origin = self._shots.start = start
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
            closed.append(self._shots.close(self._edge(self._count), "window"))
        return Step(tuple(closed), start)

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Close the last window, which may be shorter.

        Args:
            end: When the last block ends.

        Returns:
            The remaining shots; empty when no audio came.

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
        return (*closed, self._shots.close(end, "end"))

    def _edge(self, number: int) -> Timestamp:
        assert self._origin is not None
        ticks = round(number * self._window / self._origin.time_base)
        return Timestamp(self._origin.pts + ticks, self._origin.time_base)


class SoundLead:
    """Split audio in fixed windows until the first frame comes, if one ever does.

    A frame may be in the input after audio that is later than it. Windows are therefore
    decided ``max_wait`` behind the audio, and there are none when the frame comes before that.

    Args:
        options: The length of a window.
        max_wait: Seconds that a frame may trail the audio in the input; 0 without frames.
    """

    def __init__(self, options: ShotOptions, max_wait: Fraction) -> None:
        self._windows = FixedSplitter(options)
        self._max_wait = max_wait
        self._first: Timestamp | None = None
        self._reached: Timestamp | None = None

    @property
    def start(self) -> Timestamp | None:
        """First instant of the first window; None where there is no window yet."""
        return None if self._reached is None else self._first

    @property
    def reached(self) -> Timestamp | None:
        """Up to where time has been given to windows; a frame before it comes too late."""
        return self._reached

    def state(self) -> WindowState:
        """Return what another lead needs to continue; after a `push` that closed a window."""
        return self._windows.state()

    def resume(self, state: WindowState) -> None:
        """Resume from a state; the next block begins at ``state.start`` or later."""
        self._first, self._reached = state.origin, state.start
        self._windows.resume(state)

    def push(self, start: Timestamp) -> Step | None:
        """Take the start of the next block of audio.

        Args:
            start: When its first sample sounds; not earlier than the block before.

        Returns:
            Windows that closed, and the time before which no window can end any more; None while
            a frame may still take the place of the first one.
        """
        if self._first is None:
            self._first = start
        certain = Timestamp(start.pts - round(self._max_wait / start.time_base), start.time_base)
        if certain < (self._first if self._reached is None else self._reached):
            return None
        if self._reached is None:
            self._windows.push(self._first)
        self._reached = certain
        return self._windows.push(certain)

    def hand_over(self, picture: Timestamp) -> tuple[Shot, ...]:
        """End the window under way where the first frame is shown.

        Args:
            picture: Later than ``reached``.

        Returns:
            The remaining windows, the last one ended by a cut; empty where there was none.
        """
        if self._reached is None:
            return ()
        *closed, last = self._windows.finish(picture)
        return (*closed, replace(last, ended_by="cut"))

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Close the last window at the end of an input in which no frame came.

        Args:
            end: When the last block ends.

        Returns:
            The remaining windows; empty when no audio came.
        """
        if self._first is None:
            return ()
        if self._reached is None:
            self._windows.push(self._first)
            self._reached = self._first
        return self._windows.finish(end)
