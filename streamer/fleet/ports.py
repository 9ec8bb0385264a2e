"""What segmentation needs from its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudevents.core.v1.event import CloudEvent

    from streamer.events.ids import EventKind


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record as it lies in a topic.

    Attributes:
        partition: Where.
        offset: Where in the partition.
        key: Its key.
        value: Its value.
        time: When the broker took it, seconds since the Unix epoch; 0 when not known.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    time: float = 0.0


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
class LaneOptions:
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
