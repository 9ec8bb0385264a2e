"""Events as Kafka records and back: the CloudEvents binding for Kafka, binary mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloudevents.core.base import BaseCloudEvent

_FORMAT: Final = JSONFormat()
OVERHEAD_BYTES: Final = 200
"""Bytes of a batch and a record around key, headers and value, at most."""


def to_message(line: bytes) -> KafkaMessage:
    """Makes a record of an event.

    Args:
        line: The event in the structured JSON format.

    Returns:
        Headers ``ce_*`` and ``content-type``, the payload as JSON, and the stream's name as key.
    """
    return of_event(_FORMAT.read(CloudEvent, line))


def of_event(event: BaseCloudEvent) -> KafkaMessage:
    """Makes a record of an event that is at hand; the same as that of its line."""
    return to_binary(event, _FORMAT, lambda known: known.get_subject())


def size(message: KafkaMessage) -> int:
    """Bytes that a record takes in a batch at most, uncompressed."""
    key = (message.key or "").encode() if not isinstance(message.key, bytes) else message.key
    headers = sum(len(name) + len(value) + 4 for name, value in message.headers.items())
    return len(key) + headers + len(message.value) + OVERHEAD_BYTES


def from_record(
    headers: Mapping[str, str | bytes | None] | Iterable[tuple[str, str | bytes | None]] | None,
    value: str | bytes | None,
) -> CloudEvent:
    """Reads a record, in binary or structured mode. The key says nothing that the event does not.

    Args:
        headers: Of the record.
        value: Of the record.

    Raises:
        ValueError: It is no CloudEvents 1.0 event.
    """
    if value is None:
        raise ValueError("a record without a value")
    known = {
        name: text.encode() if isinstance(text, str) else text
        for name, text in dict(headers or ()).items()
        if text is not None
    }
    raw = value.encode() if isinstance(value, str) else value
    try:
        event = from_kafka(KafkaMessage(known, None, raw), _FORMAT, CloudEvent)
    # Strange records raise whatever the parsers of JSON, times and attributes do.
    except Exception as error:
        raise ValueError(f"not an event: {error}") from error
    if not isinstance(event, CloudEvent):
        raise ValueError("not an event: not CloudEvents 1.0")
    return event
