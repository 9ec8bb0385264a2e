"""What a run cost and how long its events took, for the closing summary."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import quantiles
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.pipeline.progress import Fault, Progress

# Percentiles are of the latest events only, so that a run of days costs no more than this.
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Summary:
    """The closing numbers of a run.

    Attributes:
        stream: The stream's name.
        ended: Why it ended, e.g. ``end of input``, ``interrupted``.
        position: Seconds of input read.
        shots: Closed shots.
        scenes: Complete scenes, the last one included.
        boundaries: Boundary events.
        wall_seconds: Wall time.
        cpu_seconds: User and system time of this process and its finished children.
        peak_bytes: Largest resident size so far.
        latency_p50: Median seconds between a boundary and its event, None without events.
        latency_p95: The same, 95th percentile.
        faults: What the input had wrong with it, see `streamer.pipeline.observer.Fault`.
        lost_sound: Seconds of sound given up because no picture said in time where they belong.
    """

    stream: str
    ended: str
    position: Fraction
    shots: int
    scenes: int
    boundaries: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    latency_p50: float | None
    latency_p95: float | None
    faults: Mapping[Fault, int] = field(default_factory=dict)
    lost_sound: float = 0.0

    @property
    def realtime_factor(self) -> float:
        """Seconds of input a second of wall time."""
        return float(self.position) / self.wall_seconds if self.wall_seconds > 0 else 0.0


@dataclass(slots=True)
class RunStatistics:
    """Collects while a run lasts; the clock starts when it is made."""

    _started: float = field(default_factory=time.monotonic)
    _cpu_before: float = field(default_factory=lambda: _cpu_seconds())
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def event(self, latency_seconds: float) -> None:
        """Notes the latency of a boundary event."""
        self._latencies.append(latency_seconds)

    def summary(self, stream: str, ended: str, progress: Progress) -> Summary:
        """Close the books.

        Args:
            stream: The stream's name.
            ended: Why it ended.
            progress: How far it came.
        """
        return Summary(
            stream=stream,
            ended=ended,
            position=progress.position,
            shots=progress.shots,
            scenes=progress.scenes,
            boundaries=progress.boundaries,
            faults=dict(progress.faults),
            lost_sound=progress.lost_sound,
            wall_seconds=time.monotonic() - self._started,
            cpu_seconds=_cpu_seconds() - self._cpu_before,
            peak_bytes=_peak_bytes(),
            latency_p50=self._percentile(50),
            latency_p95=self._percentile(95),
        )

    def _percentile(self, percent: int) -> float | None:
        if len(self._latencies) < 2:
            return next(iter(self._latencies), None)
        return quantiles(self._latencies, n=100, method="inclusive")[percent - 1]


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak if sys.platform == "darwin" else peak * 1024
