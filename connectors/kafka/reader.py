"""Reads the events of a topic, with or without a consumer group."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.connectors.kafka.acl import acl_error
from streamer.connectors.kafka.client import UNKNOWN, ClientErrors, client_settings, passing
from streamer.connectors.kafka.message import from_record
from streamer.connectors.kafka.topic import TopicProbe
from streamer.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudevents.core.v1.event import CloudEvent

    from streamer.config.sections import KafkaSection
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.connectors.kafka.topic import TopicFacts

_BEGINNING: Final = -2
# Errors that a consumer recovers from by itself, besides those that pass.
_OWN: Final = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._PARTITION_EOF,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)
# The group has moved on; what is not committed comes again to somebody.
_MOVED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._NO_OFFSET,
        KafkaError._STATE,
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """What one record of the topic held.

    Attributes:
        partition: Where it lies.
        offset: Where in the partition.
        event: The event, None when it is none.
        problem: Why it is none.
    """

    partition: int
    offset: int
    event: CloudEvent | None
    problem: str | None


class EventReader:
    """A consumer that commits only what was handled.

    Args:
        address: Which topic.
        section: TLS, login and patience.
        group: Members of one group share the partitions and go on where the group was; without
            one, everything is read from the beginning and nothing is remembered.
        warn: Told when brokers go away.
    """

    def __init__(
        self,
        address: KafkaAddress,
        section: KafkaSection,
        group: str | None,
        warn: Callable[[str], None],
    ) -> None:
        self._address, self._section, self._group = address, section, group
        self._warn = warn
        self._client_errors = ClientErrors()
        self._consumer: Consumer | None = None
        self._next: dict[int, int] = {}
        self._away = False

    def open(self) -> None:
        """Joins the group, or takes every partition.

        Raises:
            SinkError: There is no such topic, nobody answers, or a login is refused or lacks a
                right.
        """
        facts = self._look()
        settings: dict[str, Any] = client_settings(
            self._address, self._section, self._client_errors
        )
        settings |= {
            "group.id": self._group or f"streamer-consume-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "socket.timeout.ms": 10_000,
            "session.timeout.ms": round(self._section.session_seconds * 1000),
            "heartbeat.interval.ms": round(self._section.session_seconds * 1000 / 4),
        }
        self._consumer = Consumer(settings)
        if self._group is None:
            topic = self._address.topic
            places = [TopicPartition(topic, n, _BEGINNING) for n in range(facts.partitions)]
            self._consumer.assign(places)
        else:
            self._consumer.subscribe([self._address.topic])

    def batch(self, most: int, seconds: float) -> list[Record]:
        """Waits for a record and takes what has come with it.

        Args:
            most: At most so many.
            seconds: How long to wait for the first.

        Raises:
            SinkError: The topic is gone or may not be read any more.
        """
        first = self._opened.poll(seconds)
        if first is None:
            self._notice()
            return []
        rest = self._opened.consume(most - 1, timeout=0) if most > 1 else []
        return [record for each in (first, *rest) if (record := self._record(each)) is not None]

    def commit(self) -> None:
        """Remembers for the group that everything returned so far was handled."""
        if self._group is None or not self._next:
            return
        topic = self._address.topic
        offsets = [TopicPartition(topic, part, offset) for part, offset in self._next.items()]
        self._next.clear()
        try:
            self._opened.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() not in _MOVED and not passing(cause):
                raise SinkError(f"{self._address}: not committed: {self._words(cause)}") from error
            self._warn(f"{self._address}: not committed: {cause.str()}; some events may repeat")

    def close(self) -> None:
        """Leaves the group; may be called twice."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def _opened(self) -> Consumer:
        if self._consumer is None:
            raise SinkError(f"{self._address}: not open")
        return self._consumer

    def _record(self, message: Message) -> Record | None:
        error = message.error()
        if error is not None:
            # Who reads without a group needs no right to one.
            alone = self._group is None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
            if error.code() in UNKNOWN:
                # A broker that has just started says so too: does the topic exist?
                self._look()
            elif not passing(error) and error.code() not in _OWN and not alone:
                raise SinkError(f"{self._address}: {self._words(error)}")
            self._notice()
            return None
        self._away = False
        self._client_errors.clear()
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        self._next[partition] = offset + 1
        try:
            event = from_record(message.headers(), message.value())
        except ValueError as problem:
            return Record(partition, offset, None, str(problem))
        return Record(partition, offset, event, None)

    def _look(self) -> TopicFacts:
        groups = () if self._group is None else (self._group,)
        return TopicProbe(self._address, self._section, "READ", groups).look()

    def _words(self, error: KafkaError) -> str:
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return acl_error("topic", self._address.topic, ("READ",))
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED and self._group is not None:
            return acl_error("group", self._group, ("READ",))
        return error.str()

    def _notice(self) -> None:
        """Says once that brokers are away."""
        if self._away or (reason := self._client_errors.explain()) is None:
            return
        self._away = True
        if self._client_errors.certain:
            raise SinkError(f"{self._address}: {reason}")
        self._warn(f"{self._address}: {reason}; waiting")
