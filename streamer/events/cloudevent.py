"""CloudEvents 1.0 around the payloads, and their one-line JSON form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from streamer.events.ids import EventKind, event_id
from streamer.events.payload import Boundary, Gap, Scene, Shot, from_json, to_json

if TYPE_CHECKING:
    from streamer.events.payload import EventData

TYPES: Final[dict[EventKind, str]] = {
    "boundary": "dev.moae-streamer.scene.boundary.v1",
    "shot": "dev.moae-streamer.shot.v1",
    "scene": "dev.moae-streamer.scene.v1",
    "discontinuity": "dev.moae-streamer.discontinuity.v1",
}
SCHEMAS: Final[dict[EventKind, str]] = {
    kind: f"urn:moae-streamer:schema:{kind}:v1" for kind in TYPES
}

_PAYLOADS: Final[dict[str, type[Boundary | Shot | Scene | Gap]]] = {
    TYPES[kind.kind]: kind for kind in (Boundary, Shot, Scene, Gap)
}
_FORMAT: Final = JSONFormat()


def cloud_event(data: EventData, time: datetime | None = None) -> CloudEvent:
    """Wraps a payload.

    ``id`` follows from stream, epoch and position alone, ``source`` from the stream's name.

    Args:
        data: What happened.
        time: When it was decided, aware; now when None.

    Returns:
        A CloudEvents 1.0 event whose ``data`` is plain JSON values.

    Raises:
        ValueError: The time has no offset.
    """
    moment = datetime.now(UTC) if time is None else time
    if moment.tzinfo is None:
        raise ValueError("the time of an event needs an offset")
    return CloudEvent(
        {
            "specversion": "1.0",
            "id": event_id(data.kind, data.stream, data.epoch, data.at),
            "source": f"/moae-streamer/streams/{quote(data.stream, safe='')}",
            "type": TYPES[data.kind],
            "subject": data.stream,
            "time": moment.astimezone(UTC),
            "datacontenttype": "application/json",
            "dataschema": SCHEMAS[data.kind],
        },
        to_json(data),
    )


def payload(event: CloudEvent) -> EventData:
    """Unwrap an event.

    Raises:
        ValueError: It is of an unknown type, or its data does not fit the type.
    """
    kind = _PAYLOADS.get(event.get_type())
    if kind is None:
        raise ValueError(f"{event.get_type()}: no event of this program")
    return from_json(kind, event.get_data())


def to_line(event: CloudEvent) -> bytes:
    """Writes an event in the structured JSON format as one line.

    Returns:
        ASCII bytes that end in the only newline they hold.
    """
    return _FORMAT.write(event) + b"\n"
