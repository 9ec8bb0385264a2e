"""What a worker writes: acknowledged by every replica in sync, or the worker ends."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from streamer.connectors.kafka.acl import acl_error
from streamer.connectors.kafka.client import (
    UNKNOWN,
    ClientErrors,
    client_settings,
    error_kind,
    in_words,
    is_refusal,
)
from streamer.connectors.kafka.message import of_event
from streamer.connectors.kafka.topic import TopicProbe
from streamer.errors import FleetError, SinkError

if TYPE_CHECKING:
    from cloudevents.core.v1.event import CloudEvent
    from confluent_kafka import Message

    from streamer.config.sections import KafkaSection
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.errors import ErrorKind
    from streamer.fleet.record import LogRecord
    from streamer.fleet.topics import Topics

KEPT_BYTES: Final = 64 << 10
"""A dead letter holds the beginning of its record, at most so much."""

_POLL: Final = 0.05
_LOOK: Final = 2.0
_LINGER_MS: Final = 2


class Outbox:
    """An idempotent producer that waits for brokers without end and never loses silently.

    Args:
        address: Any topic of the cluster.
        section: TLS, login, compression.
        topics: Where to.
    """

    def __init__(self, address: KafkaAddress, section: KafkaSection, topics: Topics) -> None:
        self._topics = topics
        self._client_errors = ClientErrors()
        settings = client_settings(address, section, self._client_errors) | {
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": section.compression,
            "linger.ms": _LINGER_MS,
            "message.timeout.ms": 0,
            "message.max.bytes": max(section.max_event_bytes, 2_000_000),
            # The same partitions as Java clients, aiokafka and Faust choose.
            "partitioner": "murmur2_random",
            "allow.auto.create.topics": False,
        }
        self._producer = Producer(settings)
        self._address, self._section = address, section
        self._waiting: Counter[str] = Counter()
        self._failed: tuple[str, KafkaError] | None = None

    def event(self, stream: str, event: CloudEvent) -> None:
        """Sends an event.

        Raises:
            FleetError: No broker will ever take it.
        """
        message = of_event(event)
        headers = dict(message.headers)
        self._send(self._topics.boundaries, stream.encode(), message.value, headers)

    def shot(self, stream: str, value: bytes) -> None:
        """Sends a shot record."""
        self._send(self._topics.shots, stream.encode(), value, {})

    def request(self, stream: str, value: bytes | None) -> None:
        """Sends what should become of a stream; None removes it."""
        self._send(self._topics.streams, stream.encode(), value, {})

    def dead_letter(self, raw: LogRecord, reason: str, detail: str) -> None:
        """Puts a record aside, its beginning at least."""
        value = raw.value or b""
        headers = {
            "reason": reason,
            "detail": detail[:500],
            "topic": self._topics.shots,
            "partition": str(raw.partition),
            "offset": str(raw.offset),
            "bytes": str(len(value)),
        }
        key = None if raw.key is None else raw.key[:KEPT_BYTES]
        self._send(
            self._topics.dead_letters,
            key,
            value[:KEPT_BYTES],
            {name: text.encode() for name, text in headers.items()},
        )

    def flush(self, seconds: float) -> None:
        """Returns when everything is acknowledged.

        Raises:
            FleetError: A record is refused for good, or not acknowledged in time.
        """
        deadline = time.monotonic() + seconds
        while self.waiting:
            self._client_errors.poll(self._producer, _POLL)
            self._check()
            if time.monotonic() > deadline:
                raise FleetError(
                    f"{self.waiting} records not taken by the brokers in {seconds:g} s: "
                    f"{self._diagnose()}"
                )
        self._check()

    def close(self) -> None:
        """Forgets what is not acknowledged; whoever needs it sends it again."""
        self._producer.purge()
        # Why it could not go on was said by whoever waited for it.
        with suppress(KafkaException):
            self._producer.poll(0)

    @property
    def errors(self) -> Counter[ErrorKind]:
        """What went wrong with the brokers so far, by kind."""
        return self._client_errors.counts.copy()

    @property
    def waiting(self) -> int:
        """Records that are not acknowledged yet."""
        return self._waiting.total()

    def _send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: dict[str, bytes]
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    topic, value, key, headers=[*headers.items()], on_delivery=self._done
                )
                break
            except BufferError:
                self._client_errors.poll(self._producer, _POLL)
                self._check()
            except KafkaException as error:
                self._client_errors.counts[error_kind(error.args[0])] += 1
                raise FleetError(_words(topic, error.args[0])) from error
        self._waiting[topic] += 1
        self._client_errors.poll(self._producer, 0)

    def _done(self, error: KafkaError | None, message: Message) -> None:
        self._waiting[message.topic() or ""] -= 1
        if error is None:
            return
        self._client_errors.counts[error_kind(error)] += 1
        if self._failed is None:
            self._failed = message.topic() or "", error

    def _diagnose(self) -> str:
        """Asks the brokers why nothing is acknowledged."""
        for topic in sorted(name for name, count in self._waiting.items() if count > 0):
            address = replace(self._address, topic=topic)
            try:
                facts = TopicProbe(address, self._section, "WRITE").look(_LOOK)
            except SinkError as error:
                return str(error)
            if (problem := facts.problem) is not None:
                self._client_errors.counts["replicas"] += 1
                return f"{address}: {problem}"
        return self._client_errors.explain() or "no acknowledgement"

    def _there(self, topic: str) -> bool:
        try:
            TopicProbe(replace(self._address, topic=topic), self._section).look(_LOOK)
        except SinkError:
            return False
        return True

    def _check(self) -> None:
        if self._failed is not None:
            topic, error = self._failed
            said = _words(topic, error)
            if error.code() in UNKNOWN and self._there(topic):
                # A broker that has just started does not know every topic yet.
                said = f"topic {topic}: {error.str()}, but it is there now"
            raise FleetError(f"the brokers refuse a record: {said}")
        if self._client_errors.certain or self._client_errors.fatal:
            client_errors = self._client_errors
            reason = client_errors.explain() or client_errors.fatality or "no reason given"
            raise FleetError(f"the producer cannot go on: {reason}")


def _words(topic: str, error: KafkaError) -> str:
    if is_refusal(error):
        return acl_error("topic", topic, ("WRITE",))
    if error.code() in UNKNOWN:
        return f"there is no topic {topic}; make it with `streamer topics create --fleet`"
    return f"topic {topic}: {in_words(error)}"
