"""Split frames into shots with TransNetV2, which looks both ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np
from av.video.reformatter import VideoReformatter

from streamer.shots.base import MAX_DELAY, ShotBuilder, Step
from streamer.timeline import Shot

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    from streamer.shots.base import ShotOptions
    from streamer.timeline import ShotEnd, Timestamp

HEIGHT: Final = 27
WIDTH: Final = 48
WINDOW: Final = 100
# A window decides the frames in its middle; the rest is there for them to be compared with.
_DECIDED: Final = 50
_AROUND: Final = (WINDOW - _DECIDED) // 2
# Frames that lie so long before the latest are decided with one that is late.
_EARLY: Final = MAX_DELAY * _AROUND / (_DECIDED + _AROUND)
# A cut marks one frame, sometimes two; a dissolve marks many.
_HARD: Final = 2

# 100 frames, uint8 (100, 27, 48, 3) → how certainly each is the last before a cut, or part of a
# transition, float32 (100,).
Network = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]


class Thumbnailer:
    """Make the small frames that the network was trained on; keeps only a scaler's buffers."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def make(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Shrink one frame.

        Args:
            frame: Any size and pixel format; it is not changed.

        Returns:
            RGB, the whole width and height whatever their ratio.

        Shape:
            ``(27, 48, 3)``
        """
        small = self._scaler.reformat(
            frame, WIDTH, HEIGHT, "rgb24", interpolation="BICUBIC", threads=1
        )
        return small.to_ndarray().astype(np.uint8, copy=False)


class TransnetSplitter:
    """Find cuts, dissolves and fades in windows of 100 frames, 50 at a time.

    Gives what a pass over the whole recording gives: the first and the last frame are repeated at
    the ends. A transition is one cut, placed at the first frame after it. A shot that has lasted
    ``max_seconds`` is closed as ``forced``; no real cut comes within ``min_seconds`` of another
    or of the beginning. Holds at most 100 small frames.

    Where a window lasts longer than `MAX_DELAY` (fewer than four frames a second), frames are
    decided with the fewer that have come by then, the latest repeated as at the end.

    Args:
        options: Lengths of shots, and how certain the network must be.
        network: Looks at one window.
    """

    def __init__(self, options: ShotOptions, network: Network) -> None:
        self._network = network
        self._threshold = options.transnet_threshold
        self._shortest = Fraction(options.min_seconds).limit_denominator(10**6)
        self._longest = Fraction(options.max_seconds).limit_denominator(10**6)
        self._window: list[NDArray[np.uint8]] = []
        self._pending: deque[Timestamp] = deque()
        self._marked = 0
        self._shots = ShotBuilder()
        self._last_cut: Timestamp | None = None
        self._newest: Timestamp | None = None

    @property
    def latency_frames(self) -> int:
        """Frames that are looked at after a cut before it is decided, at most; at least 25."""
        return _DECIDED + _AROUND - 1

    @property
    def begun(self) -> bool:
        """Whether a frame has come."""
        return self._shots.start is not None

    def push(self, start: Timestamp, thumbnail: NDArray[np.uint8] | None) -> Step:
        """Take the next frame.

        Args:
            start: When it is shown; later than all before.
            thumbnail: From `Thumbnailer`; None for one that is damaged, and counts as the one
                before shown again. The first has to have one.

        Returns:
            Shots that closed, and the time before which no cut can come any more.

        Raises:
            ValueError: The frame is not later than the one before.
        """
        if self._newest is not None and start <= self._newest:
            raise ValueError(f"frame at {start.seconds} s is not after the last")
        if thumbnail is None:
            thumbnail = self._window[-1]
        if self._shots.start is None:
            self._shots.start = self._last_cut = start
            self._window = [thumbnail] * _AROUND
        self._newest = start
        self._window.append(thumbnail)
        self._pending.append(start)
        closed = list(self._look(_DECIDED)) if len(self._window) == WINDOW else []
        while start.seconds - self._pending[0].seconds > MAX_DELAY:
            early = sum(start.seconds - each.seconds > _EARLY for each in self._pending)
            closed += self._look(min(early, _DECIDED))
        return Step(tuple(closed), self._pending[0])

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input.

        Args:
            end: When the last frame ends.

        Returns:
            The remaining shots; empty when no frame came.

        Raises:
            ValueError: The end lies before the last frame.
        """
        if self._shots.start is None or self._newest is None:
            return ()
        if end < self._newest:
            raise ValueError(f"the end at {end.seconds} s is before the last frame")
        closed: list[Shot] = []
        while self._pending:
            closed += self._look(min(len(self._pending), _DECIDED))
        closed.append(self._shots.close(end, "end"))
        return tuple(closed)

    def _look(self, count: int) -> tuple[Shot, ...]:
        window = self._window + [self._window[-1]] * (WINDOW - len(self._window))
        certain = self._network(np.stack(window))[_AROUND : _AROUND + count]
        del self._window[:count]
        decided = [self._pending.popleft() for _ in range(count)]
        closed = []
        for start, value in zip(decided, certain, strict=True):
            kind = self._kind(start, marked=bool(value > self._threshold))
            if kind is not None:
                closed.append(self._shots.close(start, kind))
        return tuple(closed)

    def _kind(self, start: Timestamp, *, marked: bool) -> ShotEnd | None:
        assert self._shots.start is not None
        assert self._last_cut is not None
        if marked:
            self._marked += 1
        elif self._marked:
            kind: ShotEnd = "cut" if self._marked <= _HARD else "gradual"
            self._marked = 0
            if start.seconds - self._last_cut.seconds >= self._shortest:
                self._last_cut = start
                return kind
        over = self._shots.lasted(start) >= self._longest
        return "forced" if over else None
