"""What a worker that reads from Kafka counts and measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.metrics import catalogue as names
from streamer.metrics.series import Bounded

if TYPE_CHECKING:
    from streamer.metrics.series import Series

_REASONS: Final = 32
_TOPICS: Final = 16


class FleetMetrics:
    """A worker's series; calls may come from any thread.

    Args:
        series: All metrics.
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._reasons, self._rebuilds = Bounded(_REASONS), Bounded(_REASONS)
        self._topics = Bounded(_TOPICS)

    def consumed(self, topic: str, records: int = 1) -> None:
        """Records came from a topic."""
        self._series.counter(names.RECORDS, self._topics(topic)).inc(records)

    def repeated(self, topic: str, records: int = 1) -> None:
        """Records had been seen before."""
        self._series.counter(names.REPEATS, self._topics(topic)).inc(records)

    def lag(self, topic: str, partition: int, records: int, seconds: float) -> None:
        """How far the worker is behind in a partition.

        Args:
            topic: Its topic.
            partition: Its number.
            records: End of the partition less what was consumed.
            seconds: Age of the record consumed last; 0 at the end.
        """
        labels = (self._topics(topic), str(partition))
        self._series.gauge(names.LAG_RECORDS, *labels).set(records)
        self._series.gauge(names.LAG_SECONDS, *labels).set(seconds)

    def revoked(self, topic: str, partition: int) -> None:
        """A partition is no longer this worker's: its series go."""
        labels = (self._topics(topic), str(partition))
        self._series.forget_one(names.LAG_RECORDS, *labels)
        self._series.forget_one(names.LAG_SECONDS, *labels)

    def assigned(self, topic: str, partitions: int) -> None:
        """How many partitions of a topic this worker owns."""
        self._series.gauge(names.PARTITIONS, self._topics(topic)).set(partitions)

    def rebalanced(self) -> None:
        """The group shared its partitions out anew."""
        self._series.counter(names.REBALANCES).inc()

    def dead_letter(self, reason: str) -> None:
        """A record was put aside.

        Args:
            reason: One of a few words, not the error's text.
        """
        self._series.counter(names.DEAD_LETTERS, self._reasons(reason)).inc()

    def rebuilt(self, reason: str) -> None:
        """A window of shots was rebuilt.

        Args:
            reason: One of a few words.
        """
        self._series.counter(names.REBUILDS, self._rebuilds(reason)).inc()
