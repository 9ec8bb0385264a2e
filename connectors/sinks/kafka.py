"""Events as records of a Kafka topic, by way of a spool on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.config.folders import safe_file_name, state_home
from streamer.config.sections import KafkaSection
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.kafka.message import size, to_message
from streamer.connectors.kafka.sender import Sender, max_batch_bytes
from streamer.connectors.kafka.topic import TopicFacts, TopicProbe
from streamer.connectors.sinks.spool import ENDING, Spool
from streamer.errors import SinkError
from streamer.events.cloudevent import to_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cloudevents.core.v1.event import CloudEvent

    from streamer.errors import ErrorKind
    from streamer.plugins import SinkContext


@dataclass(frozen=True, slots=True)
class KafkaState:
    """Numbers of a sink since it was opened, for metrics.

    Attributes:
        taken: Events added.
        delivered: Events acknowledged by every replica in sync; those of an earlier process
            included.
        waiting: Events in the spool.
        waiting_bytes: Their bytes.
        dropped: Events dropped because the spool was full.
        refused: Events that are damaged or that no broker takes; kept apart in the spool.
        stalled: Whether events wait and none was taken for a while.
        errors: What went wrong with the brokers, by kind.
    """

    taken: int
    delivered: int
    waiting: int
    waiting_bytes: int
    dropped: int
    refused: int
    stalled: bool
    errors: Mapping[ErrorKind, int]


class KafkaSink:
    """Idempotent, acknowledged by all replicas, in order, and on disk until then.

    An event is in the spool, synced to the disk, when `add` returns. A broker that is away
    delays delivery and nothing else.

    Args:
        address: Where to.
        context: The stream, the section ``kafka`` of its settings, and warnings about outages.
    """

    def __init__(self, address: KafkaAddress, context: SinkContext) -> None:
        self._address, self._stream = address, context.stream
        self._section: KafkaSection = context.settings.get("kafka") or KafkaSection()
        self._warn, self._abort = context.warn, context.abort
        self._spool = Spool(
            spool_path(address, context.stream, self._section),
            self._section.spool_bytes,
            self._section.spool_full,
            self._section.spool_seconds,
            context.abort,
            context.warn,
        )
        self._sender: Sender | None = None
        # Its counts are asked for also when it has stopped.
        self._counted: Sender | None = None
        self._limit = 0
        self._gave_up = False

    @property
    def name(self) -> str:
        """The URL; there is no password in it."""
        return str(self._address)

    @property
    def state(self) -> KafkaState:
        """The numbers now."""
        spool, sender = self._spool.state, self._counted
        return KafkaState(
            taken=spool.taken,
            delivered=0 if sender is None else sender.delivered,
            waiting=spool.events,
            waiting_bytes=spool.size,
            dropped=spool.dropped,
            refused=spool.refused,
            stalled=sender is not None and self._sender is sender and sender.stalled,
            errors={} if sender is None else sender.errors,
        )

    def open(self) -> None:
        """Opens the spool, asks for the topic, and begins with what an earlier process left.

        Raises:
            SinkError: The address, the login, the certificate, the topic or the spool is unfit;
                or no broker answers and ``start_without_broker`` is not set.
        """
        if self._sender is not None:
            return
        probe = TopicProbe(
            self._address, self._section, "WRITE", create=self._section.create_topics
        )
        self._spool.open(self.name, self._stream)
        try:
            facts = self._look(probe)
            sender = Sender(self._address, self._section, self._spool, facts, probe, self._warn)
        except BaseException:
            self._spool.close()
            raise
        self._limit = max_batch_bytes(self._section, facts)
        if waiting := self._spool.state.events:
            self._warn(f"{self.name}: sending {waiting} events that an earlier run left")
        self._sender = self._counted = sender
        sender.start()

    def add(self, event: CloudEvent) -> None:
        """Stores an event and leaves the sending to another thread.

        Raises:
            SinkError: It is too large, the disk or the spool is full, or the brokers refuse what
                cannot pass by waiting. In the last case it is stored all the same.
        """
        sender = self._opened()
        line = to_line(event)
        if (needed := size(to_message(line))) > self._limit:
            raise SinkError(
                f"{self.name}: event {event.get_id()} has {needed} bytes and the topic takes "
                f"{self._limit}; raise max.message.bytes there and kafka.max_event_bytes here"
            )
        dropped = 0
        try:
            dropped = self._spool.put(line)
        finally:
            if sender.failure is not None:
                raise sender.failure
        if dropped:
            self._warn(f"{self._spool.path}: spool full; the oldest {dropped} events are dropped")

    def flush(self) -> None:
        """Waits up to ``flush_seconds`` until everything is acknowledged; in a hurry not at all.

        Raises:
            SinkError: It is not; what is left stays in the spool for the next run.
        """
        sender = self._opened()
        done, self._gave_up = self._gave_up, True
        empty = not done and self._spool.wait_empty(self._section.flush_seconds)
        if sender.failure is not None:
            raise sender.failure
        if self._abort.is_set():
            self._gave_up = done
            return
        self._gave_up = not empty
        if waiting := self._spool.state.events:
            raise SinkError(
                f"{self.name}: {waiting} events not delivered in "
                f"{self._section.flush_seconds:g} s ({sender.diagnose()}); they wait in "
                f"{self._spool.path} for the next run or streamer spool send"
            )

    def close(self) -> None:
        """Waits like `flush`, unless that was in vain already, and says what is left."""
        sender, self._sender = self._sender, None
        if sender is None:
            return
        try:
            if not self._gave_up and sender.failure is None:
                self._spool.wait_empty(self._section.flush_seconds)
            waiting = self._spool.state.events
        finally:
            sender.stop()
            self._spool.close()
        if waiting and not self._gave_up:
            self._warn(f"{self.name}: {waiting} events wait in {self._spool.path}")

    def _look(self, probe: TopicProbe) -> TopicFacts | None:
        try:
            facts = probe.look()
        except SinkError as error:
            if not (probe.silent and self._section.start_without_broker):
                raise
            self._warn(f"{error}; events wait in {self._spool.path}")
            return None
        if facts.problem is not None:
            problem = f"{self.name}: {facts.problem}"
            if not self._section.start_without_broker:
                raise SinkError(problem)
            self._warn(f"{problem}; events wait in {self._spool.path}")
        return facts

    def _opened(self) -> Sender:
        if self._sender is None:
            raise SinkError(f"{self.name}: not open")
        return self._sender


def kafka_sink(url: str, context: SinkContext) -> KafkaSink:
    """Makes a sink of a ``kafka:`` or ``kafkas:`` URL.

    Raises:
        SinkError: The URL is wrong.
    """
    return KafkaSink(KafkaAddress.parse(url), context)


def spool_folder(section: KafkaSection) -> Path:
    """Where spools lie: ``kafka.spool``, or the folder for it in the user's state."""
    return section.spool or state_home("spool")


def spool_path(address: KafkaAddress, stream: str, section: KafkaSection) -> Path:
    """One file for each stream and topic, so that the order within a stream is kept."""
    whole = "\n".join((*sorted(address.servers), address.topic, stream))
    return spool_folder(section) / f"{safe_file_name(stream, distinct=whole)}{ENDING}"
