"""All metrics of one process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from streamer import __version__
from streamer.errors import StreamerError
from streamer.metrics import catalogue as names
from streamer.metrics.batches import BatchMetrics
from streamer.metrics.fleet import FleetMetrics
from streamer.metrics.series import OTHER, Series
from streamer.metrics.sinks import COLLECTED, SinkCollector
from streamer.metrics.stream import StreamMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from streamer.connectors.kafka.client import ErrorKind
    from streamer.metrics.sinks import SinkState

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
