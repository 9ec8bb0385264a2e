"""Runs one stream on a thread of its own, whatever happens to it."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.sinks.registry import open_sink
from connectors.sinks.sink import ConsumerGone
from connectors.sinks.use import SinkUse
from connectors.sources.address import redact
from streamer.config.folders import fingerprint
from streamer.errors import ExtractionError, SinkError, StreamerError
from streamer.lines import unforeseen
from streamer.live.backoff import Backoff
from streamer.live.connector import Connector
from streamer.live.keeping import Keeping
from streamer.live.state import StateFile
from streamer.live.stream import StreamRun
from streamer.metrics.observer import MeteredObserver
from streamer.metrics.sinks import Stateful
from streamer.pipeline.segmentation import StreamSegmentation
from streamer.serve.status import StatusObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.sinks.sink import Sink
    from streamer.config.settings import Settings
    from streamer.config.streams import StreamEntry
    from streamer.metrics.metrics import Metrics
    from streamer.pipeline.engine import Engine
    from streamer.serve.status import Status

STOP_SECONDS: Final = 20.0
"""For a stream to end when it is told to."""


@dataclass(frozen=True, slots=True)
class House:
    """What the streams of a process share.

    Attributes:
        settings: Of the file, for what an entry leaves out.
        metrics: Of the process.
        folder: Of the streams' states.
        warn: Takes a stream's name and one line for people, from any thread.
    """

    settings: Settings
    metrics: Metrics
    folder: Path
    warn: Callable[[str, str], None]


class StreamHost:
    """One stream: its thread, its sinks and its state on disk.

    Errors that may pass (a sink, a network) are tried again with growing pauses, for ever; what
    cannot pass leaves the stream ``failed`` until its entry is put again. Nothing that happens
    here reaches another stream.

    Args:
        entry: What to run.
        engine: The networks as this stream sees them.
        house: What it shares.
    """

    def __init__(self, entry: StreamEntry, engine: Engine, house: House) -> None:
        self.entry: Final = entry
        self._engine, self._house = engine, house
        self._settings = entry.settings(house.settings)
        self._location = entry.source.get_secret_value()
        self._file = StateFile(house.folder, entry.name)
        self._observer = StatusObserver(self._warn)
        self._metrics = house.metrics.stream(entry.name)
        self._watched: set[str] = set()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._stopped = False
        self._run: StreamRun | None = None
        self._thread = threading.Thread(target=self._main, name=f"stream-{entry.name}", daemon=True)

    @property
    def status(self) -> Status:
        """As it is now."""
        return self._observer.status

    def describe(self) -> dict[str, object]:
        """Everything that may be shown, as plain values."""
        entry, settings = self.entry, self._settings
        return {
            "name": entry.name,
            "source": redact(self._location),
            "sinks": [redact(sink) for sink in entry.sinks],
            "emit": list(settings.output.emit),
            "threshold": settings.segment.threshold,
            "lookahead": settings.segment.lookahead,
            "follow": settings.source.follow,
            "realtime": settings.source.realtime,
            **self.status.fields(),
        }

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, *, final: bool) -> None:
        """Asks the stream to end; `join` waits for it.

        Args:
            final: It ends for good: the running shot and scene are closed. Else it can go on from
                its state.
        """
        with self._lock:
            self._stopped = True
            run = self._run
        if run is not None:
            run.stop(final=final)
        self._wake.set()

    def join(self, seconds: float = STOP_SECONDS) -> bool:
        """Waits for the end; False when it does not come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def forget(self) -> None:
        """Removes the state of a stream that has ended."""
        self._file.delete()

    def _main(self) -> None:
        backoff = Backoff(self._settings.reconnect)
        try:
            while not self._stopped:
                try:
                    self._once()
                except ConsumerGone as error:
                    self._observer.trouble("ConsumerGone", f"nobody reads {error} any more")
                except (SinkError, ExtractionError) as error:
                    self._fail(error)
                except StreamerError as error:
                    self._fail(error)
                    return
                except Exception as error:  # noqa: BLE001  (the other streams go on)
                    self._observer.enter("failed")
                    self._observer.trouble("internal", unforeseen(error))
                else:
                    return
                wait = backoff.next()
                self._wake.wait(self._settings.reconnect.max_wait_seconds if wait is None else wait)
        finally:
            self._metrics.up(False)
            if self._stopped:
                self._observer.enter("stopped")

    def _fail(self, error: StreamerError) -> None:
        self._house.metrics.error(error)
        self._observer.enter("failed")
        self._observer.trouble(type(error).__name__, str(error))

    def _once(self) -> None:
        with ExitStack() as stack:
            use = SinkUse(self.entry.name, self._settings.kafka, self._warn)
            sinks: list[Sink] = []
            for place in self._settings.output.sinks:
                sinks.append(open_sink(place, use))
                stack.callback(sinks[-1].close)
                self._watch(sinks[-1])
            segmentation = StreamSegmentation(
                self.entry.name, self._engine.model, self._settings.segment
            )
            run = StreamRun(
                self.entry.name,
                Connector(self._location, self._settings.source),
                self._settings,
                self._engine,
                sinks,
                MeteredObserver(self._observer, self._metrics),
                keeping=Keeping(self._file, fingerprint(self._location), segmentation),
                patient=True,
                segmentation=segmentation,
            )
            with self._lock:
                self._run = run
            if self._stopped:
                return
            run.run()
        if not self._stopped:
            self._observer.enter("ended")

    def _watch(self, sink: Sink) -> None:
        # A sink that is opened again keeps its series: their numbers come from the latest one.
        if isinstance(sink, Stateful):
            self._house.metrics.watch_sink(self.entry.name, lambda: sink.state)

    def _warn(self, message: str) -> None:
        self._house.warn(self.entry.name, message)
