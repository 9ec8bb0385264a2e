"""Carries events from the spool to Kafka, in order, for as long as it takes."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

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
from streamer.connectors.kafka.message import OVERHEAD_BYTES, to_message
from streamer.connectors.kafka.topic import missing
from streamer.errors import SinkError, StreamerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudevents.core.bindings.kafka import KafkaMessage
    from confluent_kafka import Message

    from streamer.config.sections import KafkaSection
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.connectors.kafka.topic import TopicFacts, TopicProbe
    from streamer.connectors.sinks.spool import Spool
    from streamer.errors import ErrorKind

IN_FLIGHT: Final = 512
"""Most events handed to the client and not yet acknowledged."""

STALL_SECONDS: Final = 10.0
"""Silence after which somebody is told that nothing is acknowledged."""

_POLL: Final = 0.05
_IDLE: Final = 1.0
_LOOK: Final = 2.0
_RESTARTS: Final = 3
# The event itself is at fault: nobody will ever take it.
_REFUSED: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,
    }
)
# The client gave up on it, and another one may succeed.
_AGAIN: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL})


class Sender:
    """A thread with an idempotent producer; what is acknowledged leaves the spool.

    A broker that is away is waited for without end. What cannot pass by waiting stops the
    sender: `failure` says why, and the events stay in the spool.

    Args:
        address: Where to.
        section: How.
        spool: Open; what it holds already comes first.
        facts: The topic as it was found, None when nobody answered.
        probe: Looks again when nothing is acknowledged.
        warn: Told about outages and their ends, from the sender's thread.
    """

    def __init__(
        self,
        address: KafkaAddress,
        section: KafkaSection,
        spool: Spool,
        facts: TopicFacts | None,
        probe: TopicProbe,
        warn: Callable[[str], None],
    ) -> None:
        self._address, self._section = address, section
        self._spool, self._probe, self._warn = spool, probe, warn
        self._client_errors = ClientErrors()
        self._settings = client_settings(address, section, self._client_errors)
        self._settings |= _producer_settings(section, facts)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"to {address}", daemon=True)
        self._failure: StreamerError | None = None
        self._cursor = 0
        self._flying: set[int] = set()
        self._acknowledged: list[int] = []
        self._failed: list[tuple[int, KafkaError]] = []
        self._delivered = 0
        self._heard = time.monotonic()
        self._restarts = 0
        self._stalled = False

    @property
    def failure(self) -> StreamerError | None:
        """Why it has stopped; None while it has not."""
        return self._failure

    @property
    def delivered(self) -> int:
        """Events acknowledged so far."""
        return self._delivered

    @property
    def stalled(self) -> bool:
        """Whether events wait and nothing is acknowledged."""
        return self._stalled

    @property
    def errors(self) -> dict[ErrorKind, int]:
        """What went wrong so far, by kind."""
        # Another thread adds new kinds.
        return dict(self._client_errors.counts.copy())

    def explain(self) -> str:
        """Why nothing is acknowledged, as far as it is known."""
        return self._client_errors.explain() or "no acknowledgement"

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; events that are not acknowledged stay in the spool."""
        self._stopping.set()
        self._spool.wake()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._carry(Producer(self._settings))
        except StreamerError as error:
            self._failure = error
        except KafkaException as error:
            self._failure = SinkError(
                f"{self._address}: {self._words(error.args[0])}; {self._left()}"
            )
        except Exception as error:  # noqa: BLE001 # told to whoever adds the next event
            self._failure = SinkError(f"{self._address}: {type(error).__name__}: {error}")
        finally:
            self._spool.wake()

    def _carry(self, producer: Producer) -> None:
        """Uses one producer until it is of no more use."""
        self._cursor, self._flying = 0, set()
        self._heard = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._fill(producer)
                if self._flying:
                    self._client_errors.poll(producer, _POLL)
                else:
                    self._client_errors.poll(producer, 0)
                    self._heard = time.monotonic()
                    self._spool.wait(self._cursor, _IDLE)
                if self._settle() or self._client_errors.fatal:
                    self._restart()
                    return
                self._watch()
        finally:
            # What is still in flight is sent again by the next one; its id tells. That this one
            # gave it up is no failure of the next.
            producer.purge()
            with suppress(KafkaException):
                producer.poll(0)
            self._failed.clear()

    def _fill(self, producer: Producer) -> None:
        room = IN_FLIGHT - len(self._flying)
        for stored in self._spool.after(self._cursor, room) if room else ():
            try:
                message = to_message(stored.line)
            # Strange lines raise whatever the parsers of JSON, times and attributes do.
            except Exception as error:  # noqa: BLE001
                said = f"{self._spool.path}: event {stored.number}: not an event: {error}"
                self._warn(f"{said}; it is kept in the table refused")
                self._spool.refuse(stored.number, said)
                self._cursor = stored.number
                continue
            try:
                self._hand_over(producer, stored.number, message)
            except BufferError:
                self._flying.discard(stored.number)
                return
            except KafkaException as error:
                self._flying.discard(stored.number)
                self._failed.append((stored.number, error.args[0]))
            self._cursor = stored.number

    def _hand_over(self, producer: Producer, number: int, message: KafkaMessage) -> None:
        flying = self._flying
        flying.add(number)

        def done(error: KafkaError | None, record: Message) -> None:
            flying.discard(number)
            if error is None:
                self._acknowledged.append(number)
            else:
                self._failed.append((number, error))

        producer.produce(
            self._address.topic,
            message.value,
            message.key,
            headers=dict(message.headers),
            on_delivery=done,
        )

    def _settle(self) -> bool:
        """Acts on what the producer said; whether it is of no more use."""
        if self._acknowledged:
            self._delivered += len(self._acknowledged)
            self._spool.remove(self._acknowledged)
            self._acknowledged.clear()
            self._heard = time.monotonic()
            self._restarts = 0
            self._client_errors.clear()
            if self._stalled:
                self._stalled = False
                waiting = self._spool.state.events
                self._warn(f"{self._address}: events are taken again; {waiting} wait")
        failed, self._failed = self._failed, []
        final = [
            error
            for _, error in failed
            if error.code() not in _AGAIN and not self._forgotten(error)
        ]
        if final:
            kept = f"it is kept in {self._spool.path}, table refused"
            if final[0].code() not in _REFUSED:
                kept = self._left()
            # Before the spool may look empty to whoever waits for that.
            said = self._words(final[0])
            self._failure = SinkError(f"{self._address}: event not taken: {said}; {kept}")
        for number, error in failed:
            self._client_errors.counts[error_kind(error)] += 1
            if error.code() in _REFUSED:
                self._spool.refuse(number, error.str())
        if self._failure is not None:
            raise self._failure
        return bool(failed)

    def _restart(self) -> None:
        """A producer that lost its sequence is made anew, unless that has not helped."""
        reason = self._client_errors.fatality or self.explain()
        self._client_errors.clear()
        self._restarts += 1
        if self._restarts > _RESTARTS:
            raise SinkError(f"{self._address}: {reason}; {self._left()}")
        self._warn(f"{self._address}: {reason}; a new producer goes on")

    def _forgotten(self, error: KafkaError) -> bool:
        """Whether a broker that has just started only did not know the topic yet."""
        if error.code() not in UNKNOWN:
            return False
        try:
            self._probe.look(_LOOK)
        except SinkError:
            return self._probe.silent
        return True

    def _words(self, error: KafkaError) -> str:
        if is_refusal(error):
            return acl_error("topic", self._address.topic, ("WRITE",))
        return missing(self._address) if error.code() in UNKNOWN else in_words(error)

    def _left(self) -> str:
        return f"{self._spool.state.events} events wait in {self._spool.path}"

    def _watch(self) -> None:
        """Says once when nothing is acknowledged for long, and why."""
        if self._stalled or time.monotonic() - self._heard < STALL_SECONDS:
            return
        self._stalled = True
        self._warn(
            f"{self._address}: no event was taken for {STALL_SECONDS:g} s "
            f"({self.diagnose()}); {self._spool.state.events} wait in the spool"
        )

    def diagnose(self) -> str:
        """Asks the brokers why nothing is acknowledged."""
        try:
            facts = self._probe.look(_LOOK)
        except SinkError as error:
            return str(error).removeprefix(f"{self._address}: ")
        if facts.problem is not None:
            self._client_errors.counts["replicas"] += 1
            return facts.problem
        return self.explain()


def _producer_settings(section: KafkaSection, facts: TopicFacts | None) -> dict[str, Any]:
    limit = max_batch_bytes(section, facts)
    return {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": section.compression,
        # The spool bounds what waits; the client never gives up on its part of it.
        "message.timeout.ms": 0,
        # A batch of several events has to fit too.
        "message.max.bytes": limit,
        "batch.size": limit,
        # As the Java clients and aiokafka do, so that a key is in one partition whoever writes.
        "partitioner": "murmur2_random",
        # One that a broker makes by itself has a single partition.
        "allow.auto.create.topics": False,
        "linger.ms": 5,
        "queue.buffering.max.kbytes": 64 << 10,
    }


def max_batch_bytes(section: KafkaSection, facts: TopicFacts | None) -> int:
    """Bytes of records that the topic takes at once."""
    limit = section.max_event_bytes + OVERHEAD_BYTES
    if facts is not None and facts.max_bytes is not None:
        limit = min(limit, facts.max_bytes)
    return max(limit, 1_000)
