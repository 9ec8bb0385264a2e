"""Shot records in, events out: many streams, in batches, each record exactly once in effect.

Faust brings records, and may skip some or bring some twice. A lane knows for each partition which
record is next and fetches what was skipped from the log itself; for each stream it knows which shot
is next and rebuilds windows that lack some.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from streamer.errors import CheckpointError, StateError
from streamer.events.cloudevent import cloud_event
from streamer.fleet.record import RecordRefused, decode
from streamer.fleet.window import StreamWindow
from streamer.window.scorer import push_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cloudevents.core.v1.event import CloudEvent

    from streamer.events.ids import EventKind
    from streamer.events.payload import EventData
    from streamer.fleet.counters import FleetCounters
    from streamer.fleet.record import LogRecord, ShotRecord
    from streamer.fleet.window import Mixture

_MANY: Final = 100_000
"""Windows of one partition; more streams than that have no place in one process."""


_CATCH_UP: Final = 2048
_NEAR: Final = 1000


class Log(Protocol):
    """Where skipped records and lost windows come from."""

    def ends(self, partition: int) -> tuple[int, int]:
        """First offset that is kept, and the one after the last."""

    def since(self, partition: int, seconds: float) -> int:
        """First offset of the last so many seconds."""

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[LogRecord]]:
        """Records of a range, in order, in pieces."""


class Saved(Protocol):
    """The windows that were saved, however old."""

    def get(self, stream: str, /) -> bytes | None:
        """A stream's; None when there is none."""

    def streams(self, partition: int) -> list[str]:
        """Streams of a partition that have one."""


class Out(Protocol):
    """Where results go."""

    def event(self, stream: str, event: CloudEvent) -> None:
        """Takes an event."""

    def dead_letter(self, raw: LogRecord, reason: str, detail: str) -> None:
        """Takes a record that cannot be used."""

    def flush(self, seconds: float) -> None:
        """Returns when everything is safe."""


@dataclass(frozen=True, slots=True)
class PartitionOptions:
    """What a lane is told.

    Attributes:
        emit: Kinds of events that are sent.
        batch: Most shots in one pass.
        snapshot_shots: Records of a stream between two saves.
        rebuild_seconds: How far back a window that is lost is rebuilt.
        delivery_seconds: How long brokers are waited for.
    """

    emit: frozenset[EventKind]
    batch: int
    snapshot_shots: int
    rebuild_seconds: float
    delivery_seconds: float


@dataclass(slots=True)
class _Partition:
    number: int
    next: int
    done: int
    loaded: bool = False
    windows: dict[str, StreamWindow] = field(default_factory=dict)
    parked: dict[str, tuple[LogRecord, ShotRecord]] = field(default_factory=dict)


class PartitionProcessor:
    """Segments the partitions it owns; for one thread.

    Whatever it raises, the worker has to end: windows may be ahead of what was delivered. Positions
    are not, so that whoever goes on repeats at most what was not delivered.

    Args:
        mixture: Who decides.
        log: The shots.
        out: Where results go.
        saved: The windows that were saved last.
        options: How.
        counters: Told what happened.
    """

    def __init__(
        self,
        mixture: Mixture,
        log: Log,
        out: Out,
        saved: Saved,
        options: PartitionOptions,
        counters: FleetCounters,
    ) -> None:
        self._mixture, self._log, self._out, self._saved = mixture, log, out, saved
        self._options, self._counters = options, counters
        self._partitions: dict[int, _Partition] = {}
        self._moved: set[str] = set()

    @property
    def positions(self) -> Mapping[int, int]:
        """Partition → the record up to which, exclusive, everything is delivered."""
        return {number: each.done for number, each in self._partitions.items()}

    def own(self, positions: Mapping[int, int]) -> None:
        """Takes over partitions and lets go of all others.

        Args:
            positions: Partition → where to go on.
        """
        before, self._partitions = self._partitions, {}
        for number, at in positions.items():
            known = before.get(number)
            if known is None:
                known = _Partition(number, at, at)
            elif known.next < at:
                # Somebody else had it meanwhile; the windows catch up when they are asked for.
                known = _Partition(number, at, at, windows=known.windows)
            self._partitions[number] = known

    def process(self, records: Iterable[LogRecord]) -> int:
        """Works off records and returns when all results are safe.

        Args:
            records: In order within a partition; those of other partitions are ignored.

        Returns:
            Records worked off, those fetched from the log included.

        Raises:
            FleetError: Brokers refuse or do not answer.
        """
        worked = 0
        todo: list[LogRecord] = []
        for raw in records:
            place = self._partitions.get(raw.partition)
            if place is None or raw.offset < place.next:
                self._counters.repeated()
                continue
            if raw.offset > place.next:
                worked += self._fetch(raw.partition, place, raw.offset, todo)
            todo.append(raw)
            place.next = raw.offset + 1
            if len(todo) >= 2 * self._options.batch:
                worked += self._finish(todo)
        return worked + self._finish(todo)

    def catch_up(self, partition: int) -> int:
        """Works off what lies in the log although nobody brought it.

        Returns:
            How many records that were; a bounded number at a time.
        """
        place = self._partitions.get(partition)
        if place is None:
            return 0
        todo: list[LogRecord] = []
        _, end = self._log.ends(partition)
        end = min(end, place.next + _CATCH_UP)
        worked = self._fetch(partition, place, end, todo) if end > place.next else 0
        return worked + self._finish(todo)

    def to_save(self) -> list[tuple[int, str, bytes]]:
        """Windows that have moved far enough since they were saved: partition, stream, bytes."""
        return [
            (number, window.stream, window.save())
            for number, place in self._partitions.items()
            for window in place.windows.values()
            if window.unsaved >= self._options.snapshot_shots
            or (window.unsaved and (window.ended or not window.saved))
        ]

    def _fetch(self, partition: int, place: _Partition, stop: int, todo: list[LogRecord]) -> int:
        """Reads what was skipped; offsets without a record (control records) are passed over."""
        worked = 0
        for piece in self._log.read(partition, place.next, stop):
            todo += piece
            place.next = piece[-1].offset + 1
            self._counters.skipped(len(piece))
            if len(todo) >= 2 * self._options.batch:
                worked += self._finish(todo)
        place.next = max(place.next, stop)
        return worked

    def _finish(self, todo: list[LogRecord]) -> int:
        count = len(todo)
        self._moved.clear()
        self._work(todo, quiet=False)
        began = time.perf_counter()
        self._out.flush(self._options.delivery_seconds)
        self._counters.spent(self._moved, "sinks", time.perf_counter() - began)
        for place in self._partitions.values():
            place.done = place.next
        todo.clear()
        return count

    def _work(self, todo: Iterable[LogRecord], *, quiet: bool) -> None:
        """Takes records in order, streams side by side.

        Args:
            todo: Of any partitions.
            quiet: Only windows move: results were delivered by somebody before.
        """
        waiting: dict[tuple[int, str], deque[tuple[LogRecord, ShotRecord]]] = {}
        for raw in todo:
            record = self._read(raw, quiet=quiet)
            if record is not None:
                place = raw.partition, record.stream
                waiting.setdefault(place, deque()).append((raw, record))
        while waiting:
            ready = []
            for place in list(waiting):
                queue = waiting[place]
                while queue:
                    raw, record = queue.popleft()
                    window = self._next(raw, record, quiet=quiet)
                    if window is not None and self._prepare(window, raw, record, quiet=quiet):
                        ready.append((window, raw, record))
                        break
                if not queue:
                    del waiting[place]
            for start in range(0, len(ready), self._options.batch):
                self._push(ready[start : start + self._options.batch], quiet=quiet)

    def _read(self, raw: LogRecord, *, quiet: bool) -> ShotRecord | None:
        try:
            record = decode(raw.value)
            if raw.key != record.stream.encode():
                key = "none" if raw.key is None else repr(raw.key[:60])
                raise RecordRefused("wrong-key", f"key {key}, stream {record.stream!r}")
        except RecordRefused as refused:
            if not quiet:
                self._refuse(raw, refused)
            return None
        return record

    def _next(self, raw: LogRecord, record: ShotRecord, *, quiet: bool) -> StreamWindow | None:
        """The stream's window when the record is the next one for it."""
        place = self._partitions[raw.partition]
        window = self._window(place, record.stream)
        try:
            step = "behind" if window is None else window.judge(record, raw.offset)
            if step == "behind" and not quiet:
                window = self._rebuilt(raw, record, place, window)
                step = "behind" if window is None else window.judge(record, raw.offset)
        except RecordRefused as refused:
            if not quiet:
                self._refuse(raw, refused)
            return None
        if step == "repeat":
            self._counters.repeated()
            return None
        if step == "behind":
            if quiet or not self._ahead(raw, record, place):
                return None
            window = self._window(place, record.stream)
        elif not quiet and (parked := place.parked.pop(record.stream, None)) is not None:
            self._refuse(parked[0], RecordRefused("unfit", "records before it are missing"))
        if window is not None and step == "anew":
            self._send(window.stream, window.restart(record), quiet=quiet)
        return window

    def _window(self, place: _Partition, stream: str) -> StreamWindow | None:
        window = place.windows.get(stream)
        if window is None and (saved := self._saved.get(stream)) is not None:
            window = StreamWindow(stream, self._mixture)
            try:
                window.load(saved)
            except StateError as error:
                self._counters.rebuilt("refused", f"{stream}: {error}")
                return None
            if self._beyond(place, window):
                self._counters.rebuilt("foreign", f"{stream}: the log of shots was made anew")
                return None
            self._keep(place, window)
        return window

    def _beyond(self, place: _Partition, window: StreamWindow) -> bool:
        """Whether a saved window has seen more than there is: it is of another log."""
        return window.offset >= place.next and window.offset >= self._log.ends(place.number)[1]

    def _keep(self, place: _Partition, window: StreamWindow) -> None:
        if len(place.windows) >= _MANY:
            place.windows.pop(next(iter(place.windows)))
        place.windows[window.stream] = window

    def _rebuilt(
        self, raw: LogRecord, record: ShotRecord, place: _Partition, window: StreamWindow | None
    ) -> StreamWindow | None:
        """Brings a window up to a record from the log of shots."""
        stream = record.stream
        if window is None and record.sequence == 0:
            self._keep(place, StreamWindow(stream, self._mixture))
            return place.windows[stream]
        if stream in place.parked:
            # The log has no more than it had when the other one was put aside.
            return window
        if window is None:
            self._counters.rebuilt("lost", f"{stream}: no window at record {record.sequence}")
            start = self._log.since(raw.partition, self._options.rebuild_seconds)
            self._replay(raw.partition, start, place, fresh=True)
        else:
            self._counters.rebuilt(
                "behind", f"{stream}: at {window.sequence}, not {record.sequence}"
            )
            self._replay(raw.partition, self._start(raw.partition, place, window), place)
        return place.windows.get(stream)

    def _start(self, partition: int, place: _Partition, window: StreamWindow) -> int:
        """Where to replay from so that all windows that lag about as far are brought up at once."""
        if not place.loaded:
            place.loaded = True
            for stream in self._saved.streams(partition):
                self._window(place, stream)
        near = 2 * self._options.snapshot_shots * len(place.windows) + _NEAR
        offsets = [each.offset + 1 for each in place.windows.values()]
        return min(
            [at for at in offsets if place.done - near <= at < place.done] + [window.offset + 1]
        )

    def _replay(
        self, partition: int, start: int, place: _Partition, *, fresh: bool = False
    ) -> None:
        """Moves windows along the part of the log whose results are delivered.

        Args:
            partition: Which.
            start: First offset.
            place: The partition's windows.
            fresh: Streams without a window get one at their first record in this part.
        """
        for piece in self._log.read(partition, start, place.done):
            if fresh:
                self._found(piece, place)
            self._work(piece, quiet=True)

    def _found(self, piece: Iterable[LogRecord], place: _Partition) -> None:
        for raw in piece:
            record = self._read(raw, quiet=True)
            if record is not None and self._window(place, record.stream) is None:
                window = StreamWindow(record.stream, self._mixture)
                window.restart(record)
                self._keep(place, window)

    def _ahead(self, raw: LogRecord, record: ShotRecord, place: _Partition) -> bool:
        """Decides about a record before which some are missing for good.

        A single one is put aside, since it may be nonsense; two that follow each other are the
        stream.

        Returns:
            Whether the window was brought to the record.
        """
        before = place.parked.pop(record.stream, None)
        if before is None or record.sequence != before[1].sequence + 1:
            if before is not None:
                self._refuse(before[0], RecordRefused("unfit", "records before it are missing"))
            place.parked[record.stream] = raw, record
            return False
        window = place.windows.get(record.stream)
        if window is None:
            window = StreamWindow(record.stream, self._mixture)
            self._keep(place, window)
        self._counters.rebuilt(
            "missing", f"{record.stream}: records before {record.sequence} are gone"
        )
        self._send(record.stream, window.restart(before[1]), quiet=False)
        if self._prepare(window, *before, quiet=False):
            self._push([(window, *before)], quiet=False)
        return True

    def _prepare(
        self, window: StreamWindow, raw: LogRecord, record: ShotRecord, *, quiet: bool
    ) -> bool:
        """Begins the record's epoch, and ends the stream; whether there is a shot to push."""
        try:
            events = window.prepare(record, raw.offset)
        except (CheckpointError, ValueError, ArithmeticError) as error:
            if not quiet:
                self._refuse(raw, RecordRefused("unfit", str(error)))
            return False
        self._send(window.stream, events, quiet=quiet)
        if record.shot is None and not quiet:
            self._counters.ended(window.stream)
        return record.shot is not None

    def _push(
        self, ready: list[tuple[StreamWindow, LogRecord, ShotRecord]], *, quiet: bool
    ) -> None:
        began = time.perf_counter()
        work = [
            (window.segmentation.segmenter, {} if record.shot is None else record.shot.tokens)
            for window, _, record in ready
        ]
        decided = push_many(work)
        self._counters.spent(
            [window.stream for window, _, _ in ready], "segment", time.perf_counter() - began
        )
        for (window, raw, record), decisions in zip(ready, decided, strict=True):
            events = window.segmentation.decided(decisions, began)
            window.took(record, raw.offset)
            self._send(window.stream, events, quiet=quiet)
            if not quiet:
                self._counters.shot(window.stream, raw)

    def _send(self, stream: str, events: list[EventData], *, quiet: bool) -> None:
        if quiet:
            return
        self._moved.add(stream)
        for data in events:
            if data.kind in self._options.emit:
                self._out.event(stream, cloud_event(data))
            self._counters.event(stream, data.kind)

    def _refuse(self, raw: LogRecord, refused: RecordRefused) -> None:
        self._out.dead_letter(raw, refused.reason, refused.detail)
        self._counters.dead_letter(raw, refused.reason, refused.detail)
