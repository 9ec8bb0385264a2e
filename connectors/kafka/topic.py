"""Asks the brokers about a topic before anything is entrusted to it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from streamer.connectors.kafka.acl import RequiredAcls, Right, acl_error, missing_acls
from streamer.connectors.kafka.client import (
    UNKNOWN,
    ClientErrors,
    ask,
    client_settings,
    is_refusal,
    passing,
    unfit,
)
from streamer.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka.admin import ClusterMetadata, TopicMetadata

    from streamer.config.sections import KafkaSection
    from streamer.connectors.kafka.address import KafkaAddress

_STEP: Final = 0.5
_PAUSE: Final = 0.05
_MAKING_SECONDS: Final = 2.0
_ASK_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 10.0
_MAKING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE})
# Answers of a broker about the topic; everything else is trouble on the way to one.
_REFUSALS: Final = _MAKING | {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.UNKNOWN_TOPIC_ID,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What a topic is like.

    Attributes:
        partitions: How many.
        in_sync: Fewest replicas in sync of any partition.
        min_in_sync: How many there must be to store an event; 1 when not told.
        max_bytes: Largest batch of records that is taken; None when not told.
    """

    partitions: int
    in_sync: int
    min_in_sync: int
    max_bytes: int | None

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored in it now."""
        if self.in_sync >= self.min_in_sync:
            return None
        return (
            f"too few replicas: {self.in_sync} in sync, and the topic's min.insync.replicas is "
            f"{self.min_in_sync}"
        )


def missing(address: KafkaAddress) -> str:
    """Say that a topic is not there, and how to make it."""
    return (
        f"there is no topic {address.topic}; make it with `streamer topics create {address}`, or "
        "set kafka.create_topics = true"
    )


def topics_of(admin: AdminClient, client_errors: ClientErrors) -> dict[str, TopicMetadata]:
    """List every topic that the login may see.

    Raises:
        SinkError: Nobody answers in time.
    """
    return _asked(lambda: _listed(admin), client_errors, "topics cannot be listed")


def make_topics(
    admin: AdminClient, wanted: Sequence[NewTopic], client_errors: ClientErrors
) -> None:
    """Make topics that are not there, and wait until each partition has a leader.

    Args:
        admin: Of a login that may.
        wanted: Names, partitions, replicas and settings; one that is there meanwhile stays.
        client_errors: Of the client.

    Raises:
        SinkError: A topic may not or cannot be made; the message names it.
    """
    if not wanted:
        return
    _asked(lambda: _create(admin, wanted), client_errors, "topics cannot be made")
    # Before that brokers know nothing of a new topic.
    _asked(lambda: _led(admin, wanted), client_errors, "topics were made but have no leader")


def _listed(admin: AdminClient) -> dict[str, TopicMetadata]:
    # Metadata of a topic that is asked for by name would make it, where brokers do that.
    found: dict[str, TopicMetadata] = admin.list_topics(timeout=_ANSWER_SECONDS).topics
    return found


def _create(admin: AdminClient, wanted: Sequence[NewTopic]) -> None:
    for name, future in admin.create_topics([*wanted], request_timeout=_ANSWER_SECONDS).items():
        try:
            future.result(_ANSWER_SECONDS + _STEP)
        except KafkaException as error:
            cause = error.args[0]
            # The answer to an earlier try may have been lost, or somebody else was faster.
            if cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            if passing(cause):
                raise
            if is_refusal(cause):
                raise SinkError(
                    f"topic {name} is not there, as far as the login may see, and may not be made "
                    "by it: make the topic before, or give the login CREATE; it needs DESCRIBE to "
                    "see it"
                ) from error
            raise SinkError(f"topic {name} could not be made: {cause.str()}") from error


def _led(admin: AdminClient, wanted: Sequence[NewTopic]) -> None:
    there = _listed(admin)
    for new in wanted:
        topic = there.get(new.topic)
        if topic is None or any(each.leader < 0 for each in topic.partitions.values()):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))


def _asked(question: Callable[[], T], client_errors: ClientErrors, what: str) -> T:
    try:
        return ask(question, _ASK_SECONDS, client_errors)
    except (KafkaException, TimeoutError) as error:
        cause = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
        raise SinkError(f"{what}: {client_errors.explain() or cause}") from error


class TopicProbe:
    """Looks at one topic, as often as asked.

    Args:
        address: Which.
        section: TLS, login and patience.
        right: What the login needs on the topic.
        groups: Consumer groups that it needs to READ.
        create: Make the topic where it is not there, as ``kafka.partitions`` and
            ``kafka.replicas`` say.

    Raises:
        SinkError: A setting, such as a certificate's file, cannot be used.
    """

    def __init__(
        self,
        address: KafkaAddress,
        section: KafkaSection,
        right: Right = "DESCRIBE",
        groups: tuple[str, ...] = (),
        *,
        create: bool = False,
    ) -> None:
        self._address, self._section, self._right = address, section, right
        self._needs = RequiredAcls({address.topic: (right,)}, groups)
        self._client_errors = ClientErrors()
        self._silent = False
        self._create = create
        try:
            self._client = AdminClient(client_settings(address, section, self._client_errors))
        except KafkaException as error:
            raise SinkError(f"{address}: {unfit(error.args[0])}") from error

    @property
    def silent(self) -> bool:
        """Whether the latest look failed because nobody answered; somebody may later."""
        return self._silent

    def look(self, seconds: float | None = None) -> TopicFacts:
        """Asks.

        Args:
            seconds: Patience; ``connect_seconds`` when None.

        Raises:
            SinkError: Nobody answers in time (`silent` then says so), the login or the certificate
                is refused or lacks a right, or there is no such topic.
        """
        patience = self._section.connect_seconds if seconds is None else seconds
        deadline = time.monotonic() + patience
        self._client_errors.clear()
        self._silent = False
        topic = self._topic(deadline, patience)
        self._allowed(max(_STEP, deadline - time.monotonic()))
        config = self._config(max(_STEP, deadline - time.monotonic()))
        return TopicFacts(
            partitions=len(topic.partitions),
            in_sync=min(len(each.isrs) for each in topic.partitions.values()),
            min_in_sync=int(config.get("min.insync.replicas") or 1),
            max_bytes=int(config["max.message.bytes"] or 0) or None if config else None,
        )

    def reach(self, seconds: float | None = None) -> None:
        """Waits until a broker answers; the topic need not be there.

        Args:
            seconds: Patience; ``connect_seconds`` when None.

        Raises:
            SinkError: Nobody answers in time, or the login or the certificate is refused.
        """
        patience = self._section.connect_seconds if seconds is None else seconds
        self._client_errors.clear()
        self._ask(self._all, time.monotonic() + patience, patience)

    def _all(self) -> ClusterMetadata:
        # Metadata of a topic that is asked for by name would make it, where brokers do that.
        return self._client.list_topics(timeout=_STEP)

    def _missing(self) -> KafkaError:
        """Why a topic is not among all: there is none, or the login may not see it."""
        asked = TopicCollection([self._address.topic])
        future = self._client.describe_topics(asked, request_timeout=_STEP)[self._address.topic]
        try:
            future.result(_STEP + _PAUSE)
        except KafkaException as error:
            refusal: KafkaError = error.args[0]
            if refusal.code() in _REFUSALS:
                return refusal
            raise
        # It was made between the two questions.
        return KafkaError(KafkaError.LEADER_NOT_AVAILABLE)

    def _ask(self, question: Callable[[], T], deadline: float, patience: float) -> T:
        def heard() -> T:
            try:
                return question()
            finally:
                # What the brokers said meanwhile.
                self._client.poll(0)

        left = max(0.0, deadline - time.monotonic())
        try:
            return ask(heard, left, self._client_errors, lambda _: True)
        except (KafkaException, TimeoutError) as error:
            self._silent = not self._client_errors.certain
            reason = self._client_errors.explain() or f"no answer in {patience:g} s"
            raise SinkError(f"{self._address}: {reason}") from error

    def _topic(self, deadline: float, patience: float) -> TopicMetadata:
        began = time.monotonic()
        while True:
            topic = self._ask(self._all, deadline, patience).topics.get(self._address.topic)
            if topic is not None and topic.error is None and topic.partitions:
                return topic
            refusal = topic.error if topic else self._ask(self._missing, deadline, patience)
            if self._create and (refusal is None or refusal.code() in UNKNOWN):
                self._make()
                began, self._create = time.monotonic(), False
                continue
            # A topic made a moment ago is not known to every broker yet.
            making = refusal is None or refusal.code() in _MAKING
            if not making or time.monotonic() >= min(deadline, began + _MAKING_SECONDS):
                raise SinkError(f"{self._address}: {self._refusal(refusal)}")
            self._client.poll(_PAUSE)

    def _make(self) -> None:
        section = self._section
        new = NewTopic(self._address.topic, section.partitions, section.replicas)
        try:
            make_topics(self._client, [new], self._client_errors)
        except SinkError as error:
            raise SinkError(f"{self._address}: {error}") from error

    def _refusal(self, error: KafkaError | None) -> str:
        topic = self._address.topic
        if error is None or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return missing(self._address)
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return acl_error("topic", topic, (self._right,))
        return f"topic {topic}: {error.str()}"

    def _allowed(self, seconds: float) -> None:
        if found := missing_acls(self._client, self._needs, seconds):
            raise SinkError(f"{self._address}: {'; '.join(found)}")

    def _config(self, seconds: float) -> dict[str, str | None]:
        """Empty when the login may not ask; the broker then says no later."""
        resource = ConfigResource(ResourceType.TOPIC, self._address.topic)
        future = self._client.describe_configs([resource], request_timeout=seconds)[resource]
        try:
            return {name: entry.value for name, entry in future.result(seconds).items()}
        except (KafkaException, TimeoutError):
            return {}
