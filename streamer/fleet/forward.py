"""The reading half of one stream: shots go to Kafka instead of to a mixture."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamer.errors import FleetError
from streamer.fleet.record import RecordRefused, ShotRecord, decode, encode
from streamer.fleet.window import saved_place
from streamer.models.experts.tokens import thinned
from streamer.pipeline.progress import ResumeState

if TYPE_CHECKING:
    from streamer.events.payload import EventData
    from streamer.fleet.log import ShotLog
    from streamer.fleet.outbox import Outbox
    from streamer.fleet.ports import LogRecord
    from streamer.fleet.request import StreamRequest
    from streamer.pipeline.epoch import Epoch
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
