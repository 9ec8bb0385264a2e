"""Metrics and health of one run, served while it lasts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from streamer.config.listen import parse_listen
from streamer.http.app import make_app
from streamer.http.health import Checks
from streamer.http.server import HttpServer
from streamer.metrics.metrics import Metrics
from streamer.metrics.observer import MeteredObserver
from streamer.metrics.sinks import Stateful

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from streamer.config.listen import Listen
    from streamer.config.sections import HttpSection
    from streamer.connectors.sinks.sink import Sink
    from streamer.events.payload import Boundary, Gap, GapReason
    from streamer.pipeline.observer import Observer, Progress
    from streamer.pipeline.stages import Stage
    from streamer.timeline import StreamInfo


class Monitor:
    """Counts what a run does and, where an address is set, serves it.

    Ready means: the networks are loaded, input was taken lately, and no sink is stalled.

    Args:
        stream: The stream's name.
        settings: Where to serve, and how old progress may be.
        inner: Who else watches the run.
    """

    def __init__(self, stream: str, settings: HttpSection, inner: Observer) -> None:
        self.metrics = Metrics()
        self._stream, self._fresh = stream, settings.fresh_seconds
        self.metrics.stream(stream).up(False)
        self._observer = MeteredObserver(inner, self.metrics.stream(stream))
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

    def opened(self, info: StreamInfo, warnings: tuple[str, ...]) -> None:
        """The input is open."""
        self._progressed = time.monotonic()
        self._observer.opened(info, warnings)

    def progressed(self, progress: Progress) -> None:
        """Input was taken."""
        self._progressed = time.monotonic()
        self._observer.progressed(progress)

    def decided(self, boundary: Boundary, delay: float | None) -> None:
        """A boundary was found."""
        self._observer.decided(boundary, delay)

    def lost(self, reason: GapReason, detail: str, wait: float) -> None:
        """The input went away."""
        self._observer.lost(reason, detail, wait)

    def returned(self, discontinuity: Gap) -> None:
        """The input is back."""
        self._observer.returned(discontinuity)

    def slow(self, stage: Stage, lag: float) -> None:
        """The run falls behind."""
        self._observer.slow(stage, lag)

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
