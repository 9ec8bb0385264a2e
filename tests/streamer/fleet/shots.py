"""Synthetic shots of many streams as records, and a log and an outbox in memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from cloudevents.core.v1.event import CloudEvent

from streamer.config.sections import SegmentSection
from streamer.fleet.counters import FleetCounters
from streamer.fleet.partition import PartitionOptions, PartitionProcessor
from streamer.fleet.record import LogRecord, ShotRecord, encode
from streamer.fleet.window import Mixture
from streamer.metrics.metrics import Metrics
from streamer.models.mixture import Moae
from streamer.pipeline.epoch import Epoch, MissingInput
from streamer.timeline import EmbeddedShot, Shot, Timestamp
from tests.models.toy import DIMS

BASE = Fraction(1, 25)


def marked(model: Moae, digit: str = "a") -> Moae:
    """As if it came from a file, and fast."""
    model.digest = digit * 64
    return model.batch_experts()


def epoch(number: int) -> Epoch:
    networks = dict.fromkeys(DIMS, "toy")
    gap = MissingInput("restart") if number else None
    return Epoch(number, Timestamp(1000 * number, BASE), Fraction(25), networks, gap=gap)


def shot(index: int, seed: int, start: int, ended_by: str = "cut") -> EmbeddedShot:
    random = np.random.default_rng([seed, index])
    tokens = {
        name: random.standard_normal((1 + index % 3, dim)).astype(np.float32)
        for name, dim in DIMS.items()
    }
    begin = start + 50 * index
    where = Shot(index, Timestamp(begin, BASE), Timestamp(begin + 50, BASE), ended_by)  # type: ignore[arg-type]
    return EmbeddedShot(where, tokens, (begin + 54) * BASE, 0.01)


def records(
    stream: str, seed: int, shots: int, epochs: int = 1, *, ends: bool = True
) -> list[ShotRecord]:
    """A stream of so many shots an epoch."""
    found: list[ShotRecord] = []
    for number in range(epochs):
        within = epoch(number)
        for index in range(shots):
            each = shot(index, seed + number, within.start.pts)
            found.append(ShotRecord(stream, "r", len(found), within, each))
    if ends:
        found.append(ShotRecord(stream, "r", len(found), epoch(epochs - 1), None))
    return found


def laid_out(streams: list[list[ShotRecord]], partition: int = 0) -> list[LogRecord]:
    """Streams in turn, as they would lie in one partition."""
    raws: list[LogRecord] = []
    for turn in range(max(len(each) for each in streams)):
        for each in streams:
            if turn < len(each):
                key = each[turn].stream.encode()
                raws.append(LogRecord(partition, len(raws), key, encode(each[turn])))
    return raws


class MemoryLog:
    """A partition in memory."""

    def __init__(self, raws: list[LogRecord]) -> None:
        self.raws = raws
        self.reads = 0

    def ends(self, partition: int) -> tuple[int, int]:
        return 0, len(self.raws)

    def since(self, partition: int, seconds: float) -> int:
        return 0

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[LogRecord]]:
        self.reads += 1
        for at in range(start, stop, 5):
            yield self.raws[at : min(at + 5, stop)]


class MemoryOut:
    """Keeps what comes; what was not flushed is lost with it."""

    def __init__(self) -> None:
        self.events: list[CloudEvent] = []
        self.letters: list[tuple[LogRecord, str]] = []
        self._new: list[CloudEvent] = []

    def event(self, stream: str, event: CloudEvent) -> None:
        assert event.get_subject() == stream
        self._new.append(event)

    def dead_letter(self, raw: LogRecord, reason: str, detail: str) -> None:
        assert detail
        self.letters.append((raw, reason))

    def flush(self, seconds: float) -> None:
        self.events += self._new
        self._new = []

    @property
    def ids(self) -> set[str]:
        return {event.get_id() for event in self.events}


class MemoryTable(dict[str, bytes]):
    """Saved windows, all of one partition."""

    def streams(self, partition: int) -> list[str]:
        return list(self)


def make_processor(
    model: Moae,
    log: MemoryLog,
    out: MemoryOut,
    saved: dict[str, bytes] | None = None,
    snapshot: int = 4,
    batch: int = 16,
    metrics: Metrics | None = None,
) -> PartitionProcessor:
    kinds = frozenset({"boundary", "shot", "scene", "discontinuity"})
    table = MemoryTable() if saved is None else MemoryTable(saved)
    return PartitionProcessor(
        Mixture(model, SegmentSection(threshold=0.0)),
        log,
        out,
        table,
        PartitionOptions(kinds, batch, snapshot, 3600.0, 5.0),  # type: ignore[arg-type]
        FleetCounters("scenes.shots", metrics),
    )
