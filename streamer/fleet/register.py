"""Reads and writes the topic of requests from outside the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.errors import FleetError
from streamer.fleet.log import ShotLog
from streamer.fleet.outbox import Outbox
from streamer.fleet.request import StreamRequest, read_request
from streamer.fleet.topics import TopicMaker

if TYPE_CHECKING:
    from streamer.config.sections import FleetSection, KafkaSection


class Register:
    """The streams that should be read.

    Args:
        fleet: Where the topics are; those that are missing are made.
        kafka: TLS, login and patience.
    """

    def __init__(self, fleet: FleetSection, kafka: KafkaSection) -> None:
        self._fleet, self._kafka = fleet, kafka
        self._maker = TopicMaker(fleet, kafka)
        self._topics = self._maker.make()

    def put(self, request: StreamRequest) -> None:
        """Has a stream read; returns when every replica in sync knows."""
        self._write(request.stream, request.encode())

    def remove(self, stream: str) -> None:
        """Has a stream read no longer.

        Raises:
            FleetError: It is not read.
        """
        known = [request.stream for request in self.all()]
        if stream not in known:
            there = ", ".join(known) or "none"
            raise FleetError(f"no stream is called {stream}; there are: {there}")
        self._write(stream, None)

    def all(self) -> list[StreamRequest]:
        """Every stream that should be read, by name."""
        log = ShotLog(
            self._maker.address(self._topics.streams), self._kafka, self._topics.ingest_group
        )
        found: dict[str, StreamRequest | None] = {}
        try:
            for number in range(self._fleet.partitions):
                first, end = log.ends(number)
                for piece in log.read(number, first, end):
                    for raw in piece:
                        try:
                            found[(raw.key or b"").decode(errors="replace")] = read_request(raw)
                        except FleetError:
                            # Workers tell about it.
                            continue
        finally:
            log.close()
        return [found_one for _, found_one in sorted(found.items()) if found_one is not None]

    def _write(self, stream: str, value: bytes | None) -> None:
        out = Outbox(self._maker.address(self._topics.streams), self._kafka, self._topics)
        out.request(stream, value)
        out.flush(self._fleet.delivery_seconds)
        out.close()
