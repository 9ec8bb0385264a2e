"""What one stream counts and measures."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streamer.metrics import catalogue as names
from streamer.metrics.series import Bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.metrics.catalogue import Definition, Stage
    from streamer.metrics.series import Series
    from streamer.pipeline.progress import Fault

_REASONS: Final = 16
_ASPECTS: Final = 64


class StreamMetrics:
    """One stream's series; calls may come from any thread and cost about a microsecond.

    After the stream was removed, calls change nothing that anybody sees.

    Args:
        series: All metrics.
        label: The value of the label ``stream``.
    """

    def __init__(self, series: Series, label: str) -> None:
        self.label = label
        self._series = series
        self._lock = threading.Lock()
        self._gone = False
        self._reasons, self._aspects = Bounded(_REASONS), Bounded(_ASPECTS)
        self._stages: dict[Stage, float] = {}
        self._shots = series.counter(names.SHOTS, label)
        self._scenes = series.counter(names.SCENES, label)
        self._boundaries = series.counter(names.BOUNDARIES, label)
        self._media = series.counter(names.MEDIA, label)
        self._lost_sound = series.counter(names.LOST_SOUND, label)
        self._reconnections = series.counter(names.RECONNECTIONS, label)
        self._latency = series.histogram(names.LATENCY)

    def shot(self, count: int = 1) -> None:
        """Shots were closed."""
        self._shots.inc(count)

    def scene(self, count: int = 1) -> None:
        """Scenes were completed."""
        self._scenes.inc(count)

    def boundary(self, count: int = 1) -> None:
        """Scene boundaries were reported."""
        self._boundaries.inc(count)

    def media(self, seconds: float) -> None:
        """So many more seconds of input were processed; negative ones count as none."""
        self._media.inc(max(0.0, seconds))

    def up(self, value: bool) -> None:
        """Whether the input is open and read."""
        self._set(names.UP, value)

    def epoch(self, value: int) -> None:
        """The epoch that runs."""
        self._set(names.EPOCH, value)

    def realtime(self, ratio: float) -> None:
        """Seconds of input a wall second, lately."""
        self._set(names.REALTIME, ratio)

    def lag(self, seconds: float) -> None:
        """How far processing is behind a live input."""
        self._set(names.LAG, seconds)

    def drift(self, seconds: float) -> None:
        """How far media time ran ahead of the arrival clock since the epoch began."""
        self._set(names.DRIFT, seconds)

    def thinning(self, level: int) -> None:
        """The level of thinning; 0 is full quality."""
        self._set(names.THINNING, level)

    def latency(self, seconds: float) -> None:
        """An event left so long after the end of the shot it waited for."""
        self._latency.observe(seconds)

    def reconnected(self) -> None:
        """The source was opened again."""
        self._reconnections.inc()

    def discontinuity(self, reason: str) -> None:
        """Input is missing or its clock jumped.

        Args:
            reason: One of a few words; after sixteen different ones it counts as ``other``.
        """
        self._count(names.DISCONTINUITIES, self._reasons(reason))

    def skipped(self, aspect: str, pieces: int = 1) -> None:
        """Thinning left pieces out."""
        self._count(names.SKIPPED, self._aspects(aspect), pieces)

    def fault(self, fault: Fault, times: int = 1) -> None:
        """The input had something wrong with it."""
        self._count(names.FAULTS, fault, times)

    def lost_sound(self, seconds: float) -> None:
        """So many more seconds of sound were given up; negative ones count as none."""
        self._lost_sound.inc(max(0.0, seconds))

    def stage_seconds(self, stage: Stage, seconds: float) -> None:
        """A stage took so much time: of the wall, in decoding of the processor."""
        with self._lock:
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds
        self._count(names.STAGE, stage, seconds)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Times what happens inside."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds(stage, time.perf_counter() - began)

    def slowest(self) -> Stage | None:
        """The stage that took most time so far, waiting for input aside; None before any."""
        with self._lock:
            busy = {stage: spent for stage, spent in self._stages.items() if stage != "source"}
        return max(busy, key=lambda stage: busy[stage], default=None)

    def close(self) -> None:
        """Removes the stream's series; `Metrics.remove` calls it."""
        with self._lock:
            self._gone = True
            self._series.forget("stream", self.label)

    def _count(self, which: Definition, value: str, amount: float = 1.0) -> None:
        with self._lock:
            if not self._gone:
                self._series.counter(which, self.label, value).inc(amount)

    def _set(self, which: Definition, value: float) -> None:
        """Gauges begin when there is something to show: whoever only segments opens no input."""
        with self._lock:
            if not self._gone:
                self._series.gauge(which, self.label).set(value)
