"""Streams that one process reads, side by side on the same networks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from streamer.connectors.kafka.address import KafkaAddress
from streamer.errors import StreamerError
from streamer.fleet.forward import Lookup, ShotForwarder, find_reached, resume_from_log
from streamer.fleet.log import ShotLog, partition_of
from streamer.fleet.outbox import Outbox
from streamer.fleet.reader_message import Numbers, ReaderMessage
from streamer.fleet.request import StreamRequest
from streamer.fleet.topics import Topics
from streamer.lines import unforeseen
from streamer.live.delivery import deliver
from streamer.live.reconnect import SourceFactory
from streamer.live.stream import StreamRun
from streamer.logs import RateLimit
from streamer.models.weights.store import WeightStore
from streamer.pipeline.engine import load_engine, share
from streamer.pipeline.progress import Behind, Disconnected, Opened, Progress

if TYPE_CHECKING:
    from streamer.aspects.batching import SharedExtractors
    from streamer.config.settings import Settings
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.progress import Notice

_SAY_SECONDS: Final = 1.0


Say = Callable[[ReaderMessage], None]
"""Tells the worker; called from the streams' threads."""


class Readings:
    """Reads streams until they are stopped; what happens to one never reaches another.

    Args:
        settings: All.
        say: Told how streams are, from their threads.

    Raises:
        StreamerError: The networks cannot be loaded.
    """

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings, self._say = settings, say
        self._engine = load_engine(settings, WeightStore(offline=settings.runtime.offline))
        self._shared = share(self._engine, settings.runtime)
        self._readings: dict[str, _Reading] = {}

    def read(self, order: dict[str, Any]) -> None:
        """Begins a stream.

        Args:
            order: A `StreamRequest` as plain values.
        """
        request = StreamRequest.model_validate(order)
        engine = replace(self._engine, extractors=self._shared.views(request.stream))
        reading = _Reading(request, self._settings, engine, self._say)
        self._readings[request.stream] = reading
        reading.start(self._shared)

    def stop(self, stream: str, *, final: bool) -> None:
        """Asks a stream to end.

        Args:
            stream: Its name.
            final: It ends for good; else somebody else goes on with it.
        """
        if (reading := self._readings.get(stream)) is not None:
            reading.stop(final=final)

    def close(self) -> None:
        """Leaves all streams, and returns when they have ended."""
        for reading in self._readings.values():
            reading.stop(final=False)
        for reading in self._readings.values():
            reading.join()
        self._shared.close()


class _Reading:
    """One stream on a thread of its own."""

    def __init__(
        self, request: StreamRequest, settings: Settings, engine: Engine, say: Say
    ) -> None:
        self._request, self._settings, self._engine, self._say = request, settings, engine, say
        self._lock = threading.Lock()
        self._run: StreamRun | None = None
        # None until it is stopped; then whether for good.
        self._final: bool | None = None
        self._thread = threading.Thread()

    def start(self, shared: SharedExtractors) -> None:
        name = f"stream-{self._request.stream}"
        self._thread = threading.Thread(target=self._main, args=(shared,), name=name, daemon=True)
        self._thread.start()

    def stop(self, *, final: bool) -> None:
        with self._lock:
            self._final = final
            run = self._run
        if run is not None:
            run.stop(final=final)

    def join(self) -> None:
        self._thread.join()

    def _main(self, shared: SharedExtractors) -> None:
        stream, code, error = self._request.stream, 0, ""
        try:
            with ExitStack() as stack:
                self._read(stack)
        except StreamerError as caught:
            code, error = caught.exit_code, str(caught)
        except Exception as caught:  # noqa: BLE001  (the other streams go on)
            code, error = 70, unforeseen(caught)
        finally:
            shared.release(stream)
        self._say(ReaderMessage(stream=stream, ended=code, error=error))

    def _read(self, stack: ExitStack) -> None:
        run = _make(self._request, self._settings, self._engine, stack)
        with self._lock:
            self._run, final = run, self._final
        if final is not None:
            run.stop(final=final)
        report = _StatusReport(self._request.stream, self._say)
        deliver(run.events(), (), watchers=(report,))


def _make(
    request: StreamRequest, settings: Settings, engine: Engine, stack: ExitStack
) -> StreamRun:
    fleet = settings.fleet
    topics = Topics(fleet.prefix, fleet.group)
    address = KafkaAddress.parse(f"{fleet.broker.rstrip('/')}/{topics.shots}")
    key = request.stream.encode()
    partition = partition_of(key, fleet.partitions)
    place = Lookup(key, partition, request.added, fleet.rebuild_seconds)
    shots = ShotLog(address, settings.kafka, topics.ingest_group)
    windows = ShotLog(replace(address, topic=topics.windows), settings.kafka, topics.ingest_group)
    try:
        reached = find_reached(windows, shots, place)
    finally:
        shots.close()
        windows.close()
    out = Outbox(address, settings.kafka, topics)
    stack.callback(out.close)
    forwarder = ShotForwarder(request, out, reached, fleet.delivery_seconds)
    return StreamRun(
        request.stream,
        SourceFactory(request.location, settings.source),
        settings,
        forwarder,
        extractors=engine.extractors,
        shot_network=engine.shot_network,
        resume=resume_from_log(request, reached, forwarder, settings.stream.epoch),
        keeps_state=True,
        retry_unreachable=True,
    )


class _StatusReport:
    """Report to the worker how a stream is, as one of its watchers."""

    def __init__(self, stream: str, say: Say) -> None:
        self._stream, self._say = stream, say
        self._limit = RateLimit(_SAY_SECONDS)

    def __call__(self, event: EventData | Notice) -> None:
        match event:
            case Progress():
                if self._limit.passes() is not None:
                    self._send(progress=Numbers.of(event))
            case Opened(warnings=warnings):
                self._send(opened=True, warnings=warnings)
            case Disconnected(reason, detail, wait):
                line = f"{reason}: {detail}; again in {wait:.1f} s"
                self._send(lost=reason, warnings=(line,))
            case Behind(stage, lag):
                self._send(warnings=(f"{lag:.1f} s behind; {stage} takes the longest",))

    def _send(self, **fields: Any) -> None:
        self._say(ReaderMessage(stream=self._stream, **fields))
