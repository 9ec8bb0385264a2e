"""Metrics and health of one run, served while it lasts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from streamer.config.listen import parse_listen
from streamer.http.app import make_app
from streamer.http.health import Checks
from streamer.http.server import HttpServer
from streamer.metrics.meter import StreamMeter
from streamer.metrics.metrics import Metrics
from streamer.metrics.sinks import Stateful
from streamer.pipeline.progress import Opened, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from streamer.config.listen import Listen
    from streamer.config.sections import HttpSection
    from streamer.connectors.sinks.sink import Sink
    from streamer.events.payload import EventData
    from streamer.pipeline.progress import Notice


class Monitor:
    """Measure a run, as one of its watchers, and serve its metrics and health.

    Ready means: the networks are loaded, input was taken lately, and no sink is stalled.

    Args:
        stream: The stream's name.
        settings: Where to serve, and how old progress may be.
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
        """Begins to serve; where, or None without an address.

        Raises:
            HttpError: It cannot listen there.
        """
        return None if self._server is None else self._server.start()

    def close(self) -> None:
        """Ends serving."""
        if self._server is not None:
            self._server.stop()

    def loaded(self, sinks: Iterable[Sink]) -> None:
        """The networks are there, and events will go to these sinks."""
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
