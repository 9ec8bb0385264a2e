"""Measure a stream by its events and notices."""

from __future__ import annotations

import time
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from streamer.events.payload import Gap
from streamer.pipeline.progress import Delivered, Disconnected, Opened, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.events.payload import EventData
    from streamer.metrics.metrics import StreamMetrics
    from streamer.pipeline.progress import Notice

WINDOW_SECONDS: Final = 30.0


class StreamMeter:
    """Count what a stream reports, as one of its watchers.

    Totals in the first report were there before: a run that resumes another counts from them.

    Args:
        metrics: The stream's.
        clock: Monotonic seconds.
    """

    def __init__(self, metrics: StreamMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._speed = Speed(clock)
        self._before: Progress | None = None

    def __call__(self, event: EventData | Notice) -> None:
        """Take an event or notice."""
        match event:
            case Progress():
                self._progress(event)
            case Delivered(boundary, delay):
                # Measured against the clock where the input is paced, else as computed.
                self._metrics.latency(boundary.latency_seconds if delay is None else delay)
            case Opened():
                self._metrics.up(True)
                self._speed.restart()
            case Disconnected():
                self._metrics.up(False)
                self._metrics.reconnected()
            case Gap():
                self._metrics.discontinuity(event.reason)

    def _progress(self, progress: Progress) -> None:
        """Add what is new since the last report."""
        metrics, before = self._metrics, self._before or progress
        metrics.media(float(progress.position - before.position))
        metrics.shot(max(0, progress.shots - before.shots))
        metrics.scene(max(0, progress.scenes - before.scenes))
        metrics.boundary(max(0, progress.boundaries - before.boundaries))
        metrics.lag(progress.lag)
        metrics.drift(progress.drift)
        metrics.epoch(progress.epoch)
        metrics.thinning(progress.thinning)
        for aspect, pieces in progress.skipped.items():
            if (new := pieces - before.skipped.get(aspect, 0)) > 0:
                metrics.skipped(aspect, new)
        for fault, times in progress.faults.items():
            if (new := times - before.faults.get(fault, 0)) > 0:
                metrics.fault(fault, new)
        metrics.lost_sound(progress.lost_sound - before.lost_sound)
        for stage, seconds in progress.spent.items():
            metrics.stage_seconds(stage, max(0.0, seconds - before.spent.get(stage, 0.0)))
        ratio = self._speed.at(progress.position)
        if ratio is not None:
            metrics.realtime(ratio)
        self._before = progress


class Speed:
    """Measure the seconds of input a wall second over the last half minute.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, Fraction]] = deque()

    def restart(self) -> None:
        """Forget earlier positions."""
        self._marks.clear()

    def at(self, position: Fraction) -> float | None:
        """Take where the input is now and return the speed; None until a second has passed."""
        now = self._clock()
        if not self._marks or now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, position))
        while len(self._marks) > 1 and now - self._marks[1][0] >= WINDOW_SECONDS:
            self._marks.popleft()
        began, from_position = self._marks[0]
        if now - began < 1.0:
            return None
        return float(position - from_position) / (now - began)
