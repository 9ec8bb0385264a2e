"""What a worker tells about itself: counts, and lines for people."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final

from streamer.logs import RateLimit, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streamer.events.ids import EventKind
    from streamer.fleet.record import LogRecord
    from streamer.metrics.metrics import Metrics, StreamMetrics
    from streamer.pipeline.progress import Stage

_QUIET_SECONDS: Final = 5.0
_USER: Final = "segmenter"
_OVER: Final = 100


class FleetCounters:
    """Counts what a lane does; calls come from the lane's thread.

    Args:
        topic: Of the shots.
        metrics: Where the counts are served; None when nobody asks.
        warn: Takes one line for people.
    """

    def __init__(
        self, topic: str, metrics: Metrics | None = None, warn: Callable[[str], None] | None = None
    ) -> None:
        self._topic, self._metrics, self._warn = topic, metrics, warn
        self._limit = RateLimit(_QUIET_SECONDS)
        self._streams: set[str] = set()
        self._over: OrderedDict[str, None] = OrderedDict()
        self.counts: Counter[str] = Counter()

    def repeated(self) -> None:
        """A record came that was worked off before."""
        self.counts["repeats"] += 1
        if self._metrics is not None:
            self._metrics.fleet.repeated(self._topic)

    def skipped(self, records: int) -> None:
        """Records had to be fetched because nobody brought them."""
        self.counts["skipped"] += records
        self._say("skipped", f"{records} records were skipped and fetched from the log")
        if self._metrics is not None:
            self._metrics.fleet.rebuilt("skipped")

    def rebuilt(self, reason: str, detail: str) -> None:
        """A window was, or has to be, rebuilt."""
        self.counts[f"rebuilt {reason}"] += 1
        self._say(reason, f"window rebuilt: {detail}")
        if self._metrics is not None:
            self._metrics.fleet.rebuilt(reason)

    def unsaved(self, detail: str) -> None:
        """A window could not be saved."""
        self.counts["unsaved"] += 1
        self._say("unsaved", f"window not saved: {detail}")

    def dead_letter(self, raw: LogRecord, reason: str, detail: str) -> None:
        """A record was put aside."""
        self.counts[f"dead {reason}"] += 1
        where = f"partition {raw.partition} offset {raw.offset}"
        self._say(reason, f"{self._topic} {where}: dead letter: {reason}: {detail}")
        if self._metrics is not None:
            self._metrics.fleet.dead_letter(reason)

    def shot(self, stream: str, raw: LogRecord) -> None:
        """A shot is part of its stream's window."""
        self.counts["shots"] += 1
        self._over.pop(stream, None)
        if self._metrics is not None:
            self._metrics.fleet.consumed(self._topic)

    def event(self, stream: str, kind: EventKind) -> None:
        """Something happened in a stream."""
        self.counts[kind] += 1
        if self._metrics is None:
            return
        if kind == "boundary":
            self._of(self._metrics, stream).boundary()
        elif kind == "scene":
            self._of(self._metrics, stream).scene()

    def spent(self, streams: Collection[str], stage: Stage, seconds: float) -> None:
        """A stage took so much wall time for all of these streams together."""
        if self._metrics is not None and streams:
            for stream in streams:
                self._of(self._metrics, stream).stage_seconds(stage, seconds / len(streams))
        # The last that is said of a batch.
        while stage == "sinks" and len(self._over) > _OVER:
            self._drop(next(iter(self._over)))

    def ended(self, stream: str) -> None:
        """A stream has come to its end; the last hundred of these can still be looked at."""
        if stream in self._streams:
            self._over[stream] = None
            self._over.move_to_end(stream)

    def keep(self, mine: Callable[[str], bool]) -> None:
        """Forgets the streams that others segment now."""
        for stream in [stream for stream in self._streams if not mine(stream)]:
            self._drop(stream)

    def _of(self, metrics: Metrics, stream: str) -> StreamMetrics:
        self._streams.add(stream)
        return metrics.stream(stream, _USER)

    def _drop(self, stream: str) -> None:
        self._streams.discard(stream)
        self._over.pop(stream, None)
        if self._metrics is not None:
            self._metrics.remove(stream, _USER)

    def _say(self, subject: str, line: str) -> None:
        """Warn, unless the same kind of line came a moment ago."""
        if self._warn is not None and (held := self._limit.passes(subject)) is not None:
            self._warn(counted(line, held))
