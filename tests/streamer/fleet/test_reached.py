"""Whoever takes a stream over never counts below those before, whatever is damaged."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from streamer.config.sections import SegmentSection
from streamer.fleet.ingest import Lookup, find_reached
from streamer.fleet.record import LogRecord, decode
from streamer.fleet.window import Mixture, StreamWindow
from tests.streamer.fleet.shots import laid_out, records
from tests.streamer.fleet.test_partition import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.fleet.log import ShotLog

KEY = b"s0"
RAWS = laid_out([records("s0", 1, 12, epochs=3)])


@dataclass
class Topic:
    """A partition in memory, in the form of a `ShotLog`."""

    raws: list[LogRecord]

    def ends(self, partition: int) -> tuple[int, int]:
        first = self.raws[0].offset if self.raws else 0
        return first, self.raws[-1].offset + 1 if self.raws else first

    def at(self, partition: int, moment: float) -> int:
        return self.ends(partition)[0]

    def since(self, partition: int, seconds: float) -> int:
        return self.ends(partition)[0]

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[LogRecord]]:
        yield [raw for raw in self.raws if start <= raw.offset < stop]

    def last(self, partition: int, key: bytes, oldest: int) -> Iterator[LogRecord]:
        yield from reversed([raw for raw in self.raws if raw.key == key and raw.offset >= oldest])


def saved(count: int) -> bytes:
    """The window behind so many records."""
    window = StreamWindow("s0", Mixture(MODEL, SegmentSection()))
    for raw in RAWS[:count]:
        record = decode(raw.value)
        window.prepare(record, raw.offset)
        if record.shot is not None:
            window.segmentation.segmenter.push(record.shot.tokens)
            window.took(record, raw.offset)
    return window.save()


def broken(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def found(windows: list[bytes], shots: list[LogRecord]) -> tuple[int, int] | None:
    changes = [LogRecord(0, at, KEY, value) for at, value in enumerate(windows)]
    reached = find_reached(
        cast("ShotLog", Topic(changes)), cast("ShotLog", Topic(shots)), Lookup(KEY, 0, 0.0, 60.0)
    )
    return None if reached is None else (reached.number, reached.sequence)


def test_a_damaged_window_hides_nothing() -> None:
    newest = decode(RAWS[-1].value)
    whole = newest.epoch.number, newest.sequence + 1
    assert found([], []) is None
    assert found([saved(4), saved(8)], RAWS) == whole
    assert found([saved(4), broken(saved(8))], RAWS) == whole
    assert found([broken(saved(8))], RAWS) == whole
    # The shots are gone by now, and an older window knows no later epoch: the clock does.
    began = int(time.time())
    for windows in ([broken(saved(8))], [saved(4), broken(saved(12))]):
        reached = found(windows, [])
        assert reached is not None
        assert reached[0] >= began


def test_damaged_shots_are_passed_over() -> None:
    last = RAWS[-1]
    assert last.value is not None
    before = decode(RAWS[-2].value)
    damaged = [*RAWS[:-1], replace(last, value=broken(last.value))]
    assert found([saved(4)], damaged) == (before.epoch.number, before.sequence + 1)
    assert found([], damaged) == (before.epoch.number, before.sequence + 1)
