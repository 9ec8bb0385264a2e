"""Runs one stream on a thread of its own, whatever happens to it."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamer.config.folders import fingerprint
from streamer.connectors.sinks.registry import open_sink
from streamer.connectors.sinks.sink import ConsumerGone
from streamer.connectors.sources.address import redact
from streamer.errors import (
    ExtractionError,
    SinkError,
    SourceDamaged,
    StateUnwritable,
    StreamerError,
)
from streamer.lines import unforeseen
from streamer.live.delivery import deliver
from streamer.live.keeping import StateKeeper
from streamer.live.reconnect import Backoff, SourceFactory
from streamer.live.state import StateFile
from streamer.live.stream import StreamRun
from streamer.metrics.meter import StreamMeter
from streamer.metrics.sinks import Stateful
from streamer.pipeline.progress import Counts, Disconnected, Opened, Progress, SavePoint
from streamer.pipeline.segmentation import StreamSegmentation
from streamer.plugins import SinkContext
from streamer.serve.status import StatusKeeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.config.settings import Settings
    from streamer.config.streams import StreamEntry
    from streamer.connectors.sinks.sink import Sink
    from streamer.errors import StateError
    from streamer.events.payload import EventData
    from streamer.metrics.metrics import Metrics
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.progress import Notice
    from streamer.serve.guard import CrashGuard
    from streamer.serve.status import Status

STOP_SECONDS: Final = 20.0
"""For a stream to end when it is told to."""

DELIVER_SECONDS: Final = 10.0
"""Of these, for what a stream that ends for good still has to deliver."""


@dataclass(frozen=True, slots=True)
class ServeContext:
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

    Errors that may pass (a sink, a network, a full disk) are tried again with growing pauses, for
    ever; what cannot pass leaves the stream ``failed`` until its entry is put again. Nothing that
    happens here reaches another stream.

    Args:
        entry: What to run.
        engine: The networks as this stream sees them.
        context: What it shares.
        guard: Says whether and when it may begin.
    """

    def __init__(
        self, entry: StreamEntry, engine: Engine, context: ServeContext, guard: CrashGuard
    ) -> None:
        self.entry: Final = entry
        self._engine, self._context, self._guard = engine, context, guard
        self._settings = entry.settings(context.settings)
        self._location = entry.source.get_secret_value()
        self._file = StateFile(context.folder, entry.name)
        self._observer = StatusKeeper(self._warn)
        self._admitted = False
        self._metrics = context.metrics.stream(entry.name)
        self._metrics.up(False)
        self._wake = threading.Event()
        self._lock = threading.Lock()
        # All below change under the lock only.
        self._stopped = self._final = self._over = False
        # The last scene has been sent; and the thread does nothing any more.
        self._closed = self._idle = False
        self._hurry = threading.Event()
        self._run: StreamRun | None = None
        self._told: StreamRun | None = None
        self._thread = self._new_thread(self._main)

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
        self._guard.expect(self.entry.name, fingerprint(self._location))
        self._thread.start()

    def stop(self, *, final: bool) -> None:
        """Asks the stream to end; `join` waits for it.

        Args:
            final: It ends for good: the running shot and scene are closed. Else it can go on from
                its state.
        """
        with self._lock:
            self._stopped, self._final = True, final
            self._told = self._run
            if self._run is not None:
                self._run.stop(final=final)
            if not final or self._run is None:
                # What is on the disk is sent when the stream goes on.
                self._hurry.set()
            self._wake.set()
            if final and self._idle and not self._closed:
                self._thread = self._new_thread(self._close)
                self._thread.start()

    def join(self, seconds: float) -> bool:
        """Waits for the end, in the latter half without more deliveries; False without one."""
        self._thread.join(min(DELIVER_SECONDS, seconds / 2))
        with self._lock:
            self._hurry.set()
        self._thread.join(max(seconds / 2, seconds - DELIVER_SECONDS))
        return not self._thread.is_alive()

    def resume(self) -> bool:
        """Takes a stop back: the stream goes on from its state once what runs now has ended.

        Returns:
            False when the stream has ended already.
        """
        with self._lock:
            if self._over:
                return False
            if self._run is not None:
                self._run.stop(final=False)
            self._stopped = self._final = False
            self._wake.clear()
            return True

    def forget(self) -> None:
        """Removes the state of a stream that has ended."""
        self._file.delete()

    def _main(self) -> None:
        name, key = self.entry.name, fingerprint(self._location)
        if (held := self._guard.held(name, key)) is not None:
            self._observer.enter("failed")
            self._observer.trouble("held", held)
            with self._lock:
                self._over = True
            self._close()
            return
        try:
            self._keep_running()
        finally:
            self._guard.left(name)

    def _lives(self, event: EventData | Notice) -> None:
        """Tell the guard how the stream is, as one of its watchers."""
        match event:
            case Opened() | Disconnected():
                self._guard.note(self.entry.name)
                self._guard.runs(self.entry.name, closed=False)
            case Progress() | SavePoint():
                self._guard.runs(self.entry.name, closed=isinstance(event, SavePoint))

    def _keep_running(self) -> None:
        backoff, done = Backoff(self._settings.reconnect), False
        while not self._ends(done):
            wait: float | None = 0.0
            try:
                done = self._once()
            except ConsumerGone as error:
                self._observer.trouble("ConsumerGone", f"nobody reads {error} any more")
                wait = backoff.next()
            except (SinkError, ExtractionError, StateUnwritable) as error:
                self._fail(error)
                wait = backoff.next()
            except StreamerError as error:
                self._fail(error)
                done = True
            except Exception as error:  # noqa: BLE001  (the other streams go on)
                self._observer.enter("failed")
                self._observer.trouble("internal", unforeseen(error))
                wait = backoff.next()
            self._metrics.up(False)
            self._wake.wait(self._settings.reconnect.max_wait_seconds if wait is None else wait)
        self._close()

    def _new_thread(self, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=target, name=f"stream-{self.entry.name}", daemon=True)

    def _close(self) -> None:
        """Send the last scene of a stream that ends for good while nothing of it runs."""
        with self._lock:
            self._idle = not self._final or self._closed
            if self._idle:
                return
        try:
            if self._file.load() is not None:
                self._once(closing=True)
        except (ConsumerGone, StreamerError) as error:
            self._warn(f"the events of its last scene were not sent: {error}")
        except Exception as error:  # noqa: BLE001  (the stream is to go in any case)
            self._warn(f"the events of its last scene were not sent: {unforeseen(error)}")

    def _ends(self, done: bool) -> bool:
        """Whether nothing comes any more; from then on nobody can take a stop back."""
        with self._lock:
            self._over = done or self._stopped
            if self._stopped:
                self._observer.enter("stopped")
            return self._over

    def _fail(self, error: StreamerError) -> None:
        self._context.metrics.error(error)
        self._observer.enter("failed")
        self._observer.trouble(type(error).__name__, str(error))

    def _damaged(self, error: StateError) -> None:
        self._context.metrics.error(error)
        self._observer.trouble(type(error).__name__, str(error))

    def _once(self, *, closing: bool = False) -> bool:
        """Run from the state to the end of the input, or until stopped.

        Args:
            closing: Open no input; send what the state holds undecided, and the last scene.

        Returns:
            Whether it has ended.
        """
        with self._lock:
            self._hurry = threading.Event()
        if not closing:
            if not self._enter(None):
                return False
            # Before anything is sent that could not be remembered.
            self._file.try_out()
            if not self._admitted:
                self._admitted = self._guard.admit(self.entry.name, lambda: self._stopped)
                if not self._admitted:
                    return False
        with ExitStack() as stack:
            kafka = {"kafka": self._settings.kafka}
            use = SinkContext(self.entry.name, kafka, self._warn, self._hurry)
            sinks: list[Sink] = []
            for place in self._settings.output.sinks:
                sinks.append(open_sink(place, use))
                stack.callback(sinks[-1].close)
                self._watch(sinks[-1])
            self._context.metrics.keep_sinks(self.entry.name, [sink.name for sink in sinks])
            segmentation = StreamSegmentation(
                self.entry.name,
                self._engine.model,
                threshold=self._settings.segment.threshold,
                lookahead=self._settings.segment.lookahead,
            )
            keeping = StateKeeper(
                self._file, fingerprint(self._location), segmentation, damaged=self._damaged
            )
            counts = Counts()
            run = StreamRun(
                self.entry.name,
                SourceFactory(self._location, self._settings.source),
                self._settings,
                segmentation,
                extractors=self._engine.extractors,
                shot_network=self._engine.shot_network,
                resume=keeping.restore(self._settings.stream.epoch, counts),
                counts=counts,
                keeps_state=True,
                retry_unreachable=True,
            )
            watchers: list[Callable[[EventData | Notice], None]]
            watchers = [StreamMeter(self._metrics), self._observer]
            if closing:
                run.stop(final=True)
            elif self._enter(run):
                watchers.append(self._lives)
            else:
                return False
            try:
                deliver(
                    run.events(),
                    sinks,
                    emit=self._settings.output.emit,
                    watchers=watchers,
                    store=None if closing else keeping,
                )
            except SourceDamaged:
                self._closed = True
                raise
            with self._lock:
                self._closed = self._final or not self._stopped
                if self._told is run:
                    return False
            # An earlier attempt may have come to the end and not have delivered all.
            for sink in sinks:
                sink.flush()
        self._observer.enter("ended")
        return True

    def _enter(self, run: StreamRun | None) -> bool:
        """Makes it the run that is stopped; False when that is due already."""
        with self._lock:
            self._run = run
            return not self._stopped

    def _watch(self, sink: Sink) -> None:
        if isinstance(sink, Stateful):
            self._context.metrics.watch_sink(self.entry.name, sink.name, lambda: sink.state)

    def _warn(self, message: str) -> None:
        self._context.warn(self.entry.name, message)
