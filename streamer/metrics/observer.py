"""Metrics of a run, by watching it."""

from __future__ import annotations

import time
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.events.payload import Boundary, Gap, GapReason
    from streamer.metrics.stream import StreamMetrics
    from streamer.pipeline.observer import Observer, Progress
    from streamer.pipeline.stages import Stage
    from streamer.timeline import StreamInfo

WINDOW_SECONDS: Final = 30.0


class MeteredObserver:
    """Counts what it sees and passes it on.

    What the first report says was there before: a run that goes on where another left off counts
    from there.

    Args:
        inner: Who else watches.
        metrics: The stream's.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        inner: Observer,
        metrics: StreamMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner, self._metrics = inner, metrics
        self._speed = Speed(clock)
        self._before: Progress | None = None

    def opened(self, info: StreamInfo, warnings: tuple[str, ...]) -> None:
        """The stream is up, for the first time or again."""
        self._metrics.up(True)
        self._speed.restart()
        self._inner.opened(info, warnings)

    def progressed(self, progress: Progress) -> None:
        """Adds what is new since the last call."""
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
        self._inner.progressed(progress)

    def decided(self, boundary: Boundary, delay: float | None) -> None:
        """Measures the latency: against the clock where the input is paced, else as computed."""
        self._metrics.latency(boundary.latency_seconds if delay is None else delay)
        self._inner.decided(boundary, delay)

    def lost(self, reason: GapReason, detail: str, wait: float) -> None:
        """The stream is down."""
        self._metrics.up(False)
        self._metrics.reconnected()
        self._inner.lost(reason, detail, wait)

    def returned(self, discontinuity: Gap) -> None:
        """Counts the gap."""
        self._metrics.discontinuity(discontinuity.reason)
        self._inner.returned(discontinuity)

    def slow(self, stage: Stage, lag: float) -> None:
        """The metrics show it anyway."""
        self._inner.slow(stage, lag)


class Speed:
    """Seconds of input a wall second over the last half minute.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, Fraction]] = deque()

    def restart(self) -> None:
        """Forgets what was."""
        self._marks.clear()

    def at(self, position: Fraction) -> float | None:
        """Takes where the input is now; None until a second has passed."""
        now = self._clock()
        if not self._marks or now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, position))
        while len(self._marks) > 1 and now - self._marks[1][0] >= WINDOW_SECONDS:
            self._marks.popleft()
        began, from_position = self._marks[0]
        if now - began < 1.0:
            return None
        return float(position - from_position) / (now - began)
