"""Define which streams are to be read: records of the compacted topic of requests."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.config.sections import Printable
from streamer.errors import FleetError
from streamer.fleet.log import ShotLog
from streamer.fleet.outbox import Outbox
from streamer.fleet.topics import TopicMaker
from streamer.wire import in_words

if TYPE_CHECKING:
    from streamer.config.sections import FleetSection, KafkaSection
    from streamer.fleet.record import LogRecord

MAX_BYTES = 16 << 10


class StreamRequest(BaseModel):
    """One stream that should be read.

    Attributes:
        version: Of this form.
        stream: Its name in events.
        location: As `streamer tail` takes it; may hold credentials, so it is never shown whole.
        run: Tells one request from another for the same name: a film that was read to its end is
            read again when it is asked for again.
        added: When it was asked for, seconds since the Unix epoch.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    version: Literal[1] = 1
    stream: Annotated[Printable, Field(min_length=1, max_length=200)]
    location: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
    run: Annotated[str, Field(min_length=1, max_length=64)]
    added: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

    @classmethod
    def make(cls, stream: str, location: str) -> Self:
        """A new request, made now.

        Raises:
            FleetError: The name or the location cannot be used.
        """
        try:
            return cls(
                stream=stream, location=location, run=uuid.uuid4().hex[:12], added=time.time()
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise FleetError(f"{first['loc'][0]}: {in_words(first)}") from error

    def encode(self) -> bytes:
        """The record's value."""
        return self.model_dump_json().encode()


def read_request(raw: LogRecord) -> StreamRequest | None:
    """Reads a record.

    Args:
        raw: Of the topic of requests.

    Returns:
        None where the stream is not wanted any more.

    Raises:
        FleetError: It is no request; the message holds nothing of its content.
    """
    if raw.value is None:
        return None
    where = f"partition {raw.partition} offset {raw.offset}"
    if len(raw.value) > MAX_BYTES:
        raise FleetError(f"{where}: a request of {len(raw.value)} bytes")
    try:
        request = StreamRequest.model_validate_json(raw.value)
    except ValidationError as error:
        raise FleetError(f"{where}: not a request: {in_words(error.errors()[0])}") from error
    if raw.key != request.stream.encode():
        raise FleetError(f"{where}: its key is not its stream")
    return request


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
