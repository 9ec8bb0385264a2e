"""Read streams for a worker and write their shots to the topic of shots."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from streamer.connectors.kafka.address import KafkaAddress
from streamer.errors import FleetError, StreamerError
from streamer.fleet.log import ShotLog, partition_of
from streamer.fleet.outbox import Outbox
from streamer.fleet.record import RecordRefused, ShotRecord, decode, encode
from streamer.fleet.request import StreamRequest
from streamer.fleet.supervisor import Numbers, WorkerMessage
from streamer.fleet.topics import Topics
from streamer.fleet.window import saved_place
from streamer.lines import unforeseen
from streamer.live.delivery import deliver
from streamer.live.reconnect import SourceFactory
from streamer.live.stream import StreamRun
from streamer.logs import RateLimit
from streamer.models.experts.tokens import thinned
from streamer.models.weights.store import WeightStore
from streamer.pipeline.engine import load_engine, share
from streamer.pipeline.progress import Behind, Disconnected, Opened, Progress, ResumeState

if TYPE_CHECKING:
    from streamer.aspects.batching import SharedExtractors
    from streamer.config.settings import Settings
    from streamer.events.payload import EventData
    from streamer.fleet.record import LogRecord
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.epoch import Epoch
    from streamer.pipeline.progress import Notice
    from streamer.timeline import EmbeddedShot, Shot


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a stream was read by whoever read it before.

    Attributes:
        number: Its last epoch's.
        sequence: What its next record counts.
        record: Its last record; None when the log no longer has it.
        at: When the broker took that, seconds since the Unix epoch.
    """

    number: int
    sequence: int
    record: ShotRecord | None = None
    at: float = 0.0


def find_reached(windows: ShotLog, shots: ShotLog, place: Lookup) -> Reached | None:
    """Looks where a stream is.

    The window that was saved last says where to look in the log of shots. Where none was saved yet
    the newest part of the log is searched.

    Args:
        windows: Changelog of the windows.
        shots: The shots.
        place: Which stream.

    Returns:
        None for a stream that nobody has read.
    """
    partition, key = place.partition, place.key
    damaged, known = False, None
    for raw in windows.last(partition, key, 0):
        if raw.value:
            # Of one that is damaged, an earlier one may be left.
            known = saved_place(raw.value)
            if known is not None:
                break
            damaged = True
    if known is None:
        oldest = min(shots.at(partition, place.added), shots.since(partition, place.seconds))
        for raw in shots.last(partition, key, oldest):
            if (found := _usable(raw)) is not None:
                return found
        # It was read, and how far is lost; epochs are never ahead of the clock.
        return Reached(int(time.time()), 0) if damaged else None
    number = max(known.epoch, int(time.time())) if damaged else known.epoch
    reached = Reached(number, known.sequence)
    _, end = shots.ends(partition)
    for piece in shots.read(partition, known.offset, end):
        for raw in piece:
            if raw.key == key and (found := _usable(raw)) is not None:
                reached = found
    return reached


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where a stream's records are.

    Attributes:
        key: Of its records.
        partition: Of its topics.
        added: When the stream was asked for, seconds since the Unix epoch.
        seconds: How far back at least there may be shots without a window, by the brokers' clock.
    """

    key: bytes
    partition: int
    added: float
    seconds: float


def _fitting(record: ShotRecord) -> bytes:
    """A record with as many tokens as it can hold, evenly spread as the mixture does it too.

    Raises:
        FleetError: Not even one token of each aspect has room.
    """
    for most in (None, 64, 16, 4, 1):
        try:
            return encode(record if most is None else _thinned(record, most))
        except ValueError:
            continue
    raise FleetError(f"{record.stream}: a shot's tokens do not fit into a record")


def _thinned(record: ShotRecord, most: int) -> ShotRecord:
    assert record.shot is not None
    tokens = {name: rows[thinned(len(rows), most)] for name, rows in record.shot.tokens.items()}
    return replace(record, shot=replace(record.shot, tokens=tokens))


def _usable(raw: LogRecord) -> Reached | None:
    try:
        record = decode(raw.value)
    except RecordRefused:
        return None
    return Reached(record.epoch.number, record.sequence + 1, record, raw.time)


class ShotForwarder:
    """Stands where a segmentation stands, and sends every shot on as a record.

    Each record is acknowledged before the next shot is taken.

    Args:
        request: Which stream.
        out: Where to.
        reached: How far it was read before.
        seconds: How long brokers are waited for.
    """

    def __init__(
        self, request: StreamRequest, out: Outbox, reached: Reached | None, seconds: float
    ) -> None:
        self.stream = request.stream
        self._run, self._out, self._seconds = request.run, out, seconds
        self._reached = reached
        self._sequence = 0 if reached is None else reached.sequence
        self._epoch: Epoch | None = None
        self._last: tuple[int, Shot] | None = None

    @property
    def epoch(self) -> Epoch | None:
        """The current epoch; None before the first."""
        return self._epoch

    @property
    def last(self) -> tuple[int, Shot] | None:
        """Epoch and last shot that was taken; None before the first."""
        return self._last

    def resume(self) -> None:
        """Goes on in the epoch that was reached."""
        assert self._reached is not None
        record = self._reached.record
        assert record is not None
        self._epoch = record.epoch
        if record.shot is not None:
            self._last = record.epoch.number, record.shot.shot

    def begin(self, epoch: Epoch) -> list[EventData]:
        """Starts an epoch; its records say so."""
        self._epoch = epoch
        return []

    def push(
        self, shot: EmbeddedShot, wallclock: float | None = None, arrival: float | None = None
    ) -> list[EventData]:
        """Sends a shot; returns when every replica in sync has it.

        Raises:
            FleetError: No broker takes it.
        """
        assert self._epoch is not None
        self._send(shot, wallclock, arrival)
        self._last = self._epoch.number, shot.shot
        return []

    def finish(self) -> list[EventData]:
        """Sends the end of the stream."""
        if self._epoch is not None:
            self._send(None, None, None)
        return []

    def _send(
        self, shot: EmbeddedShot | None, wallclock: float | None, arrival: float | None
    ) -> None:
        assert self._epoch is not None
        record = ShotRecord(
            self.stream, self._run, self._sequence, self._epoch, shot, wallclock, arrival
        )
        self._out.shot(self.stream, _fitting(record))
        self._out.flush(self._seconds)
        self._sequence += 1


def resume_from_log(
    request: StreamRequest,
    reached: Reached | None,
    forwarder: ShotForwarder,
    number: int | None = None,
) -> ResumeState:
    """Return where a stream is resumed: after the last shot that Kafka has.

    Args:
        request: Which stream.
        reached: How far it was read before.
        forwarder: Goes on in the epoch that was reached.
        number: Of the first epoch of a new stream, where that is settled.
    """
    if reached is None:
        return ResumeState(number)
    record = reached.record
    if record is None or record.run != request.run:
        return ResumeState(reached.number + 1)
    forwarder.resume()
    return ResumeState(
        record.epoch.number, lost_at=reached.at, same=True, ended=record.shot is None
    )


_SAY_SECONDS: Final = 1.0


Say = Callable[[WorkerMessage], None]
"""Tells the worker; called from the streams' threads."""


class StreamReaders:
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
        self._say(WorkerMessage(stream=stream, ended=code, error=error))

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
        self._say(WorkerMessage(stream=self._stream, **fields))
