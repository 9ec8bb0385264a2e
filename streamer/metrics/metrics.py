"""Count and measure one process: its streams, its worker and its batches."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from streamer import __version__
from streamer.errors import StreamerError
from streamer.metrics import catalogue as names
from streamer.metrics.catalogue import OTHER, Bounded, Series
from streamer.metrics.sinks import COLLECTED, SinkCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from streamer.errors import ErrorKind
    from streamer.metrics.catalogue import Definition
    from streamer.metrics.sinks import SinkState
    from streamer.pipeline.progress import Fault, Stage

MAX_STREAMS: Final = 2000
"""Streams with series of their own; more are counted together as ``other``."""

MAX_LABEL: Final = 200

READER: Final = "reader"
"""Who counts what a stream's input brings."""


class Metrics:
    """The metrics of one process, on a registry of their own; calls may come from any thread.

    Args:
        max_streams: Streams with series of their own.
    """

    def __init__(self, max_streams: int = MAX_STREAMS) -> None:
        self.registry: Final = CollectorRegistry(auto_describe=True)
        self._series = Series(self.registry, COLLECTED)
        self._sinks = SinkCollector()
        self.registry.register(self._sinks)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = names.BUILD
        Info(build.name.removesuffix("_info"), build.help, registry=self.registry).info(
            {"version": __version__}
        )
        for reason in names.HTTP_REFUSALS:
            self._series.counter(names.HTTP_REFUSED, reason)
        self._max_streams = max_streams
        self._streams: dict[str, StreamMetrics] = {}
        self._users: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._series.gauge(names.STREAMS).set_function(self._count)
        self.fleet: Final = FleetMetrics(self._series)
        self.batches: Final = BatchMetrics(self._series)

    def stream(self, name: str, user: str = READER) -> StreamMetrics:
        """A stream's metrics, the same object for the same name until it is removed.

        Args:
            name: As configured. An address is never a label: its series count as ``other``.
            user: Who counts; the series stay until all of them have removed the stream.
        """
        label = OTHER if "://" in name else name[:MAX_LABEL]
        with self._lock:
            if label not in self._streams and len(self._streams) >= self._max_streams:
                label = OTHER
            if label not in self._streams:
                self._streams[label] = StreamMetrics(self._series, label)
            self._users.setdefault(label, set()).add(user)
            return self._streams[label]

    def watch_sink(self, stream: str, sink: str, state: Callable[[], SinkState]) -> None:
        """Shows a sink's spool and deliveries from now on.

        A sink that is opened again takes the place of the stream's earlier one of its name, whose
        counts stay.

        Args:
            stream: Whose sink.
            sink: Its name, which is not shown.
            state: Its numbers now; called whenever somebody collects, from another thread.
        """
        self._sinks.watch(self.stream(stream).label, stream, sink, state)

    def keep_sinks(self, stream: str, sinks: Collection[str]) -> None:
        """Asks a stream's sinks of other names no more; what they counted stays."""
        self._sinks.keep(stream, sinks)

    def watch_client(
        self, waiting: Callable[[], int], errors: Callable[[], Mapping[ErrorKind, int]]
    ) -> None:
        """Shows what a worker's brokers have not taken, and what went wrong with them.

        Args:
            waiting: Records that are not acknowledged; called from another thread.
            errors: By kind; called from another thread.
        """
        self._sinks.watch_client(waiting, errors)

    def remove(self, name: str, user: str = READER) -> None:
        """Removes a stream's series, those of its sinks included, unless somebody else counts."""
        label = name[:MAX_LABEL]
        with self._lock:
            users = self._users.get(label, set())
            users.discard(user)
            if users:
                return
            self._users.pop(label, None)
            gone = self._streams.pop(label, None)
            self._sinks.forget(name, None if gone is None else gone.label)
            if gone is not None:
                gone.close()

    def error(self, error: StreamerError) -> None:
        """Counts an error by its class; the text stays out of metrics."""
        self._series.counter(names.ERRORS, type(error).__name__).inc()

    def refused(self, reason: str) -> None:
        """Count a refused HTTP request or a closed connection.

        Args:
            reason: One of `streamer.metrics.catalogue.HTTP_REFUSALS`.
        """
        self._series.counter(names.HTTP_REFUSED, reason).inc()

    def _count(self) -> float:
        return float(len(self._streams))


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


_FLEET_REASONS: Final = 32
_TOPICS: Final = 16


class FleetMetrics:
    """A worker's series; calls may come from any thread.

    Args:
        series: All metrics.
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._reasons, self._rebuilds = Bounded(_FLEET_REASONS), Bounded(_FLEET_REASONS)
        self._topics = Bounded(_TOPICS)

    def consumed(self, topic: str, records: int = 1) -> None:
        """Records came from a topic."""
        self._series.counter(names.RECORDS, self._topics(topic)).inc(records)

    def repeated(self, topic: str, records: int = 1) -> None:
        """Records had been seen before."""
        self._series.counter(names.REPEATS, self._topics(topic)).inc(records)

    def lag(self, topic: str, partition: int, records: int, seconds: float) -> None:
        """How far the worker is behind in a partition.

        Args:
            topic: Its topic.
            partition: Its number.
            records: End of the partition less what was consumed.
            seconds: Age of the record consumed last; 0 at the end.
        """
        labels = (self._topics(topic), str(partition))
        self._series.gauge(names.LAG_RECORDS, *labels).set(records)
        self._series.gauge(names.LAG_SECONDS, *labels).set(seconds)

    def revoked(self, topic: str, partition: int) -> None:
        """A partition is no longer this worker's: its series go."""
        labels = (self._topics(topic), str(partition))
        self._series.forget_one(names.LAG_RECORDS, *labels)
        self._series.forget_one(names.LAG_SECONDS, *labels)

    def assigned(self, topic: str, partitions: int) -> None:
        """How many partitions of a topic this worker owns."""
        self._series.gauge(names.PARTITIONS, self._topics(topic)).set(partitions)

    def rebalanced(self) -> None:
        """The group shared its partitions out anew."""
        self._series.counter(names.REBALANCES).inc()

    def dead_letter(self, reason: str) -> None:
        """A record was put aside.

        Args:
            reason: One of a few words, not the error's text.
        """
        self._series.counter(names.DEAD_LETTERS, self._reasons(reason)).inc()

    def rebuilt(self, reason: str) -> None:
        """A window of shots was rebuilt.

        Args:
            reason: One of a few words.
        """
        self._series.counter(names.REBUILDS, self._rebuilds(reason)).inc()


class BatchMetrics:
    """Sizes and waits of batches by aspect.

    Args:
        series: All metrics.
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._aspects = Bounded(_ASPECTS)

    def passed(self, aspect: str, rows: int, waited: float) -> None:
        """A pass went through a network.

        Args:
            aspect: Its slot.
            rows: Pieces.
            waited: Seconds that the piece which came first had waited.
        """
        label = self._aspects(aspect)
        self._series.histogram(names.BATCH_ROWS, label).observe(rows)
        self._series.histogram(names.BATCH_WAIT, label).observe(waited)
