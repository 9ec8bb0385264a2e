"""The fleet's topics: their names, and making them as they have to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from confluent_kafka.admin import AdminClient, NewTopic

from streamer.connectors.kafka.acl import RequiredAcls, Right, missing_acls
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.kafka.client import ClientErrors, client_settings
from streamer.connectors.kafka.topic import TopicProbe, make_topics, topics_of
from streamer.errors import FleetError, SinkError
from streamer.fleet.record import MAX_BYTES

if TYPE_CHECKING:
    from confluent_kafka.admin import TopicMetadata

    from streamer.config.sections import FleetSection, KafkaSection

Half = Literal["ingest", "segment"]
"""Of a worker's work."""

_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Topics:
    """Names, all with one prefix.

    Attributes:
        prefix: Of all topics.
        group: Consumer groups are named after it.
    """

    prefix: str
    group: str

    @property
    def streams(self) -> str:
        """Compacted: which streams should be read, by name."""
        return f"{self.prefix}.streams"

    @property
    def shots(self) -> str:
        """Closed shots with their tokens, by stream."""
        return f"{self.prefix}.shots"

    @property
    def boundaries(self) -> str:
        """Events, by stream."""
        return f"{self.prefix}.boundaries"

    @property
    def dead_letters(self) -> str:
        """Records that cannot be used, and why."""
        return f"{self.prefix}.dead-letters"

    @property
    def names(self) -> tuple[str, ...]:
        """Every topic."""
        return self.streams, self.shots, self.boundaries, self.windows, self.dead_letters

    @property
    def ingest_group(self) -> str:
        """Group of the workers that read streams."""
        return f"{self.group}.ingest"

    @property
    def segment_group(self) -> str:
        """Group of the workers that segment."""
        return f"{self.group}.segment"

    @property
    def positions_group(self) -> str:
        """Where segmentation is for certain; its lag is the true one."""
        return f"{self.group}.positions"

    @property
    def windows(self) -> str:
        """Compacted: changelog of the table of windows."""
        return f"{self.segment_group}-windows-changelog"

    def needs(self, half: Half) -> RequiredAcls:
        """What a login has to be allowed for half of a worker's work."""
        reads: tuple[Right, ...] = ("READ",)
        writes: tuple[Right, ...] = ("WRITE",)
        if half == "ingest":
            topics = {self.streams: reads, self.shots: reads + writes, self.windows: reads}
            return RequiredAcls(topics, (self.ingest_group,))
        return RequiredAcls(
            {
                self.shots: reads,
                self.windows: reads + writes,
                self.boundaries: writes,
                self.dead_letters: writes,
            },
            (self.segment_group, self.positions_group),
        )


class TopicMaker:
    """Makes what is missing and refuses what does not fit.

    Args:
        fleet: Names and sizes.
        kafka: TLS, login and patience.
    """

    def __init__(self, fleet: FleetSection, kafka: KafkaSection) -> None:
        self._fleet, self._kafka = fleet, kafka
        self._topics = Topics(fleet.prefix, fleet.group)

    def make(self) -> Topics:
        """Makes the topics that are not there.

        Raises:
            SinkError: Nobody answers, or login or certificate are refused.
            FleetError: A topic may not be made, or is there with another number of partitions.
        """
        address = self.address(self._topics.shots)
        client_errors = ClientErrors()
        # The probe waits for the broker and explains what is wrong; the topic may be missing.
        TopicProbe(address, self._kafka).reach()
        admin = AdminClient(client_settings(address, self._kafka, client_errors))
        wanted = self._wanted()
        try:
            there = topics_of(admin, client_errors)
            for new in wanted:
                self._fits(new, there.get(new.topic))
            missing = [new for new in wanted if new.topic not in there]
            make_topics(admin, missing, client_errors)
        except SinkError as error:
            raise FleetError(f"{address}: {error}") from error
        return self._topics

    def check(self, *halves: Half) -> None:
        """Looks before work begins whether the login may do it; the topics are there.

        Raises:
            FleetError: It may not; every right that it lacks is named.
        """
        address = self.address(self._topics.shots)
        admin = AdminClient(client_settings(address, self._kafka, ClientErrors()))
        needs = sum((self._topics.needs(half) for half in halves), RequiredAcls())
        if found := missing_acls(admin, needs, self._kafka.connect_seconds):
            raise FleetError("; ".join(found))

    def address(self, topic: str) -> KafkaAddress:
        """Where a topic is."""
        return KafkaAddress.parse(f"{self._fleet.broker.rstrip('/')}/{topic}")

    def _wanted(self) -> list[NewTopic]:
        names, replicas = self._topics, self._fleet.replicas
        small = str(2 * MAX_BYTES)
        # The broker's clock: by that of a worker whose clock is wrong, records would be refused, or
        # deleted before their time.
        timed = {"message.timestamp.type": "LogAppendTime"}
        compact = timed | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.2"}
        kept = timed | {
            "retention.ms": str(round(self._fleet.shots_hours * _HOUR_MS)),
            "max.message.bytes": small,
        }
        return [
            NewTopic(name, self._fleet.partitions, replicas, config=config)
            for name, config in (
                (names.streams, compact),
                (names.shots, kept),
                (names.boundaries, timed),
                (names.windows, compact | {"max.message.bytes": str(32 << 20)}),
                (names.dead_letters, timed | {"max.message.bytes": small}),
            )
        ]

    def _fits(self, new: NewTopic, there: TopicMetadata | None) -> None:
        # Consumers of events and dead letters need no particular number.
        shared = {self._topics.streams, self._topics.shots, self._topics.windows}
        if there is None or new.topic not in shared:
            return
        if (found := len(there.partitions)) != self._fleet.partitions:
            raise FleetError(
                f"topic {new.topic} has {found} partitions, fleet.partitions is "
                f"{self._fleet.partitions}; they have to be equal for all workers and topics"
            )
