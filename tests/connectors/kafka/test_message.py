"""Records in both modes of the CloudEvents binding."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.kafka import to_structured_event
from hypothesis import given
from hypothesis import strategies as st

from streamer.connectors.kafka.message import from_record, of_event, size, to_message
from streamer.events.cloudevent import cloud_event, to_line
from streamer.events.payload import EventData
from tests.streamer.events.examples import boundary, discontinuity, scene, shot

TIME = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_a_record_reads_back_as_the_same_line(name: str) -> None:
    line = to_line(cloud_event(boundary(stream=name), TIME))
    message = to_message(line)
    assert message.key == name
    assert to_line(from_record(list(message.headers.items()), message.value)) == line
    assert size(message) >= len(message.value) + len(name.encode())


@pytest.mark.parametrize(
    "data", [boundary(), shot(), scene(), discontinuity()], ids=lambda data: data.kind
)
def test_headers_of_the_binary_mode(data: EventData) -> None:
    event, kind = cloud_event(data, TIME), data.kind
    message = to_message(to_line(event))
    assert message.headers == {
        "ce_specversion": b"1.0",
        "ce_id": event.get_id().encode(),
        "ce_source": b"/moae-streamer/streams/film",
        "ce_type": event.get_type().encode(),
        "ce_subject": b"film",
        "ce_time": b"2026-01-02T03:04:05.000678Z",
        "ce_dataschema": f"urn:moae-streamer:schema:{kind}:v1".encode(),
        "content-type": b"application/json",
    }
    assert json.loads(message.value) == event.get_data()
    assert of_event(event) == message


def test_structured_mode_is_understood() -> None:
    event = cloud_event(boundary(), TIME)
    message = to_structured_event(event)
    assert from_record(list(message.headers.items()), message.value).get_id() == event.get_id()


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        (None, None),
        (None, b""),
        (None, b"not json"),
        (None, b"[]"),
        ([], b"\xff\xfe"),
        ([("ce_specversion", b"1.0")], b"{}"),
        ([("ce_specversion", b"9.9"), ("ce_id", b"1")], b"{}"),
        ([("ce_id", None)], b"{}"),
        ([("ce_id", b"\xff")], b"{}"),
        ([("ce_specversion", b"1.0"), ("ce_time", b"yesterday")], b"{}"),
        ({"ce_specversion": b"0.3", "ce_id": b"1", "ce_source": b"/a", "ce_type": b"t"}, b"{}"),
    ],
)
def test_strange_records_are_value_errors(headers: object, value: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_record(headers, value)  # type: ignore[arg-type] # also what stubs rule out
