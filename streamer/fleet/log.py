"""The log of shots, read from anywhere; and how far segmentation is for certain."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.connectors.kafka.acl import acl_error
from streamer.connectors.kafka.client import (
    UNKNOWN,
    ClientErrors,
    ask,
    client_settings,
    error_kind,
    passing,
)
from streamer.errors import FleetError
from streamer.fleet.record import LogRecord

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping

    from confluent_kafka import Message

    from streamer.config.sections import KafkaSection
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.errors import ErrorKind

T = TypeVar("T")

_POLL: Final = 0.5
_BATCH: Final = 200
_CHUNK: Final = 256
_ASK_SECONDS: Final = 60.0
# A topic that is gone does not come back by waiting.
_UNKNOWN_SECONDS: Final = 15.0
# What a coordinator that may not be asked looks like.
_VAGUE: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._WAIT_COORD})


class ShotLog:
    """One topic, without group membership; for one thread.

    Faust's own offsets cannot be trusted after a recovery, so that positions are kept in a group of
    their own, to which nothing subscribes.

    Args:
        address: The topic.
        section: TLS, login and patience.
        group: Of the positions.
    """

    def __init__(self, address: KafkaAddress, section: KafkaSection, group: str) -> None:
        self._topic, self._group = address.topic, group
        self._patience = section.connect_seconds
        self._client_errors = ClientErrors()
        self._refused: KafkaError | None = None
        settings = client_settings(address, section, self._client_errors) | {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 16_384,
        }
        self._consumer = Consumer(settings)

    @property
    def errors(self) -> Counter[ErrorKind]:
        """What went wrong with the brokers so far, by kind."""
        return self._client_errors.counts.copy()

    def positions(self, partitions: list[int]) -> dict[int, tuple[int, str]]:
        """Partition → next offset to work on, and the note that was left with it.

        Partitions without a position are not part of it.
        """
        asked = [TopicPartition(self._topic, each) for each in partitions]
        found = self._call(lambda: self._committed(asked))
        return {
            each.partition: (each.offset, each.metadata or "") for each in found if each.offset >= 0
        }

    def keep(self, positions: Mapping[int, int], note: str) -> None:
        """Stores positions.

        Args:
            positions: Partition → next offset.
            note: A few words for whoever takes over.
        """
        if not positions:
            return
        kept = [
            TopicPartition(self._topic, partition, offset, metadata=note)
            for partition, offset in positions.items()
        ]
        self._call(lambda: self._consumer.commit(offsets=kept, asynchronous=False))

    def ends(self, partition: int) -> tuple[int, int]:
        """First offset that is kept, and the one after the last."""
        place = TopicPartition(self._topic, partition)
        found = self._call(
            lambda: self._consumer.get_watermark_offsets(place, timeout=self._patience)
        )
        assert found is not None
        return found

    def since(self, partition: int, seconds: float) -> int:
        """First offset of the last so many seconds, by the broker's clock.

        A few hundred records are always part of it: that clock may have jumped ahead.
        """
        first, end = self.ends(partition)
        newest = self._newest(partition, first, end)
        if newest is None:
            return first
        return max(first, min(self.at(partition, newest - seconds), end - _CHUNK))

    def at(self, partition: int, moment: float) -> int:
        """First offset that the broker took at or after a moment, or the end.

        Args:
            partition: Which.
            moment: Seconds since the Unix epoch.
        """
        first, end = self.ends(partition)
        asked = TopicPartition(self._topic, partition, max(0, round(moment * 1000)))
        found = self._call(
            lambda: self._consumer.offsets_for_times([asked], timeout=self._patience)
        )
        return max(first, found[0].offset) if found and found[0].offset >= 0 else end

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[LogRecord]]:
        """Records from ``start`` up to, not including, ``stop``, in order and in pieces.

        Offsets that no longer hold a record are passed over.

        Raises:
            FleetError: Nothing comes although it should.
        """
        first, end = self.ends(partition)
        stop = min(stop, end)
        at = max(start, first)
        if at >= stop:
            return
        self._consumer.assign([TopicPartition(self._topic, partition, at)])
        heard = time.monotonic()
        try:
            while at < stop:
                found: list[LogRecord] = []
                # No more than there are: it would wait for the others.
                most = min(_BATCH, stop - at)
                for message in self._consumer.consume(most, timeout=_POLL):
                    error = message.error()
                    if error is not None and error.code() == KafkaError._PARTITION_EOF:
                        at = max(at, message.offset() or 0)
                    elif error is None and (raw := _raw(message)).offset < stop:
                        found.append(raw)
                        at = raw.offset + 1
                    elif error is None:
                        at = stop
                    elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                        raise FleetError(self._words(error))
                    else:
                        self._heed(error)
                if found:
                    heard = time.monotonic()
                    yield found
                    heard = time.monotonic()
                elif time.monotonic() - heard > self._patience:
                    reason = self._client_errors.explain() or "no answer"
                    raise FleetError(f"{self._topic}: records cannot be read again: {reason}")
        finally:
            self._consumer.unassign()

    def last(self, partition: int, key: bytes, oldest: int) -> Iterator[LogRecord]:
        """Records with a key, newest first, down to the offset ``oldest``."""
        first, end = self.ends(partition)
        size = _CHUNK
        while end > max(first, oldest):
            start = max(first, oldest, end - size)
            found = [
                raw for piece in self.read(partition, start, end) for raw in piece if raw.key == key
            ]
            yield from reversed(found)
            end, size = start, min(8192, 2 * size)

    def close(self) -> None:
        """Lets go."""
        self._consumer.close()

    def _newest(self, partition: int, first: int, end: int) -> float | None:
        """When the newest record was taken."""
        if end <= first:
            return None
        for piece in self.read(partition, end - 1, end):
            return piece[-1].time
        return None

    def _committed(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        found = self._consumer.committed(asked, timeout=self._patience)
        for each in found:
            if each.error is not None:
                # No position is not the same as one that cannot be told.
                raise KafkaException(each.error)
        return found

    def _refusal(self) -> KafkaError | None:
        """Why a coordinator is not found; the call that needs one only runs out of time."""
        # Else records would come along.
        message = None if self._consumer.assignment() else self._consumer.poll(0)
        if message is not None and (error := message.error()) is not None:
            self._heed(error)
        return self._refused

    def _heed(self, error: KafkaError) -> None:
        """Remembers that the group is refused: it is told once, to whoever asks next."""
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self._refused = error

    def _words(self, error: KafkaError) -> str:
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return acl_error("topic", self._topic, ("READ",))
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return acl_error("group", self._group, ("READ",))
        if error.code() in UNKNOWN and self._client_errors.explain() is None:
            return self._missing(error)
        return f"{self._topic}: {self._client_errors.explain() or error.str()}"

    def _missing(self, error: KafkaError) -> str:
        """What the brokers list, now that they all should know."""
        try:
            # Metadata of a topic that is asked for by name would make it, where brokers do that.
            there = self._consumer.list_topics(timeout=self._patience).topics.get(self._topic)
        except KafkaException:
            return f"{self._topic}: {self._client_errors.explain() or error.str()}"
        if there is None:
            return (
                f"{self._topic}: there is no such topic, or the login may not see it; after a "
                "deletion `streamer topics create --fleet` creates it again"
            )
        return f"{self._topic}: {error.str()} (it has {len(there.partitions)} partitions)"

    def _call(self, question: Callable[[], T]) -> T:
        """Ask for a minute: a broker that starts has not its groups and partitions at hand yet."""
        unknown = time.monotonic() + _UNKNOWN_SECONDS

        def may_pass(cause: KafkaError) -> bool:
            if cause.code() in _VAGUE and self._refusal() is not None:
                return False
            return passing(cause) and (cause.code() not in UNKNOWN or time.monotonic() < unknown)

        try:
            return ask(question, _ASK_SECONDS, self._client_errors, may_pass)
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() in _VAGUE and self._refused is not None:
                cause = self._refused
                self._client_errors.counts[error_kind(cause)] += 1
            raise FleetError(self._words(cause)) from error


def partition_of(key: bytes, partitions: int) -> int:
    """Where every client of the fleet puts a key: the Java clients' murmur2.

    Args:
        key: Of a record.
        partitions: Of its topic.
    """
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def _raw(message: Message) -> LogRecord:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    kind, stamp = message.timestamp()
    key, value = message.key(), message.value()
    return LogRecord(
        partition,
        offset,
        key.encode() if isinstance(key, str) else key,
        value.encode() if isinstance(value, str) else value,
        stamp / 1000 if kind else 0.0,
    )
