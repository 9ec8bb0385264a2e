"""Observe one run: warnings and summary for people, metrics and health for machines."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from queue import SimpleQueue
from statistics import quantiles
from typing import TYPE_CHECKING, Final, Self

from streamer.config.listen import parse_listen
from streamer.events.payload import Gap
from streamer.http.app import make_app
from streamer.http.health import Checks
from streamer.http.server import HttpServer
from streamer.metrics.meter import StreamMeter
from streamer.metrics.metrics import Metrics
from streamer.metrics.sinks import Stateful
from streamer.pipeline.progress import Behind, Delivered, Disconnected, Opened, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from streamer.cli._progress import Reporter
    from streamer.config.listen import Listen
    from streamer.config.sections import HttpSection
    from streamer.connectors.sinks.sink import Sink
    from streamer.events.payload import EventData
    from streamer.pipeline.progress import Fault, Notice

# Percentiles cover the latest events only, which bounds memory in a run of days.
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Summary:
    """Hold the closing numbers of a run.

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
        latency_p50: Median seconds between a boundary and its event; None without events.
        latency_p95: The same, 95th percentile.
        faults: Faults of the input by kind, see `streamer.pipeline.progress.Fault`.
        lost_sound: Seconds of sound dropped because no picture told its position in time.
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
    """Collect the numbers of a run; the clock starts at construction."""

    _started: float = field(default_factory=time.monotonic)
    _cpu_before: float = field(default_factory=lambda: _cpu_seconds())
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def event(self, latency_seconds: float) -> None:
        """Record the latency of a boundary event."""
        self._latencies.append(latency_seconds)

    def summary(self, stream: str, ended: str, progress: Progress) -> Summary:
        """Compute the closing numbers.

        Args:
            stream: The stream's name.
            ended: Why it ended.
            progress: Position and counts at the end.
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


class RunReport:
    """Show one run on the terminal; a watcher of its events and notices.

    Args:
        stream: The stream's name.
        reporter: Prints it.
        notices: Lines that sinks report from any thread; shown by the thread of the run.
    """

    def __init__(
        self, stream: str, reporter: Reporter, notices: SimpleQueue[str] | None = None
    ) -> None:
        self._stream = stream
        self._reporter = reporter
        self._notices: SimpleQueue[str] = SimpleQueue() if notices is None else notices
        self._statistics = RunStatistics()

    def __call__(self, event: EventData | Notice) -> None:
        """Take an event or notice of the stream."""
        match event:
            case Progress():
                self.show_notices()
                self._reporter.update(event)
            case Opened(info, warnings):
                for warning in warnings:
                    self._reporter.warn(warning)
                if not info.has_sound:
                    self._reporter.warn("no sound: acoustic experts are absent")
                if not info.has_picture:
                    self._reporter.warn("no picture: splitting sound into fixed windows")
            case Delivered(boundary):
                self._statistics.event(boundary.latency_seconds)
            case Disconnected(reason, detail, wait):
                self._reporter.warn(
                    f"{detail}; trying again in {wait:.1f} s",
                    reason=reason,
                    wait_seconds=round(wait, 3),
                )
            case Gap(missing_seconds=missing):
                gap = "" if missing is None else f" after {missing:.1f} s"
                self._reporter.warn(
                    f"the input is back{gap}: epoch {event.epoch}",
                    reason=event.reason,
                    epoch=event.epoch,
                    missing_seconds=missing,
                )
            case Behind(stage, lag):
                self._reporter.warn(
                    f"{lag:.1f} s behind: {stage} is slow", stage=stage, lag_seconds=round(lag, 3)
                )

    def note(self, line: str) -> None:
        """Queue a line to show; callable from any thread."""
        self._notices.put(line)

    def show_notices(self) -> None:
        """Show the lines that sinks and libraries reported."""
        while not self._notices.empty():
            self._reporter.warn(self._notices.get())

    def finish(self, progress: Progress, ended: str) -> None:
        """Print the summary."""
        self.show_notices()
        self._reporter.finish(self._statistics.summary(self._stream, ended, progress))


class Monitor:
    """Measure a run and serve its metrics and health; a watcher of its events and notices.

    Ready means: the networks are loaded, input came recently, and no sink is stalled.

    Args:
        stream: The stream's name.
        settings: Address to serve on, and the age at which progress counts as stale.
    """

    def __init__(self, stream: str, settings: HttpSection) -> None:
        self.metrics = Metrics()
        self._stream, self._fresh = stream, settings.fresh_seconds
        self.metrics.stream(stream).up(False)
        self._meter = StreamMeter(self.metrics.stream(stream))
        self._checks = Checks()
        self._loaded = False
        self._sinks = 0
        self._progressed: float | None = None
        self._checks.add("model", lambda: None if self._loaded else "loading the networks")
        self._checks.add("source", self._source)
        self._server: HttpServer | None = None
        if settings.listen is not None:
            self._server = HttpServer(
                lambda: make_app(self.metrics, self._checks), parse_listen(settings.listen)
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Listen | None:
        """Start to serve, and return the address; None when none is configured.

        Raises:
            HttpError: It cannot listen there.
        """
        return None if self._server is None else self._server.start()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.stop()

    def loaded(self, sinks: Iterable[Sink]) -> None:
        """Mark the networks as loaded, and watch the sinks that events will go to."""
        self._loaded = True
        for sink in sinks:
            if isinstance(sink, Stateful):
                self._watch(sink)

    def __call__(self, event: EventData | Notice) -> None:
        """Take an event or notice of the stream."""
        if isinstance(event, Opened | Progress):
            self._progressed = time.monotonic()
        self._meter(event)

    def _watch(self, sink: Stateful) -> None:
        self.metrics.watch_sink(self._stream, sink.name, lambda: sink.state)
        self._sinks += 1
        self._checks.add(
            f"sink-{self._sinks}",
            lambda: "events wait and none is taken" if sink.state.stalled else None,
        )

    def _source(self) -> str | None:
        if self._progressed is None:
            return "the input is not open yet"
        silent = time.monotonic() - self._progressed
        return None if silent <= self._fresh else f"no input for {silent:.0f} s"
