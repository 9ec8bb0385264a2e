"""The envelope, the line, and the schemas that ship."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamer.events.cloudevent import cloud_event, to_line
from streamer.events.ids import EventKind, event_id
from streamer.events.payload import EventData, from_json
from streamer.events.schemas import MODELS, derived, shipped
from streamer.events.validate import problems
from tests.streamer.events.examples import PLACE, boundary, discontinuity, scene, shot

TIME = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
PAYLOADS: list[EventData] = [boundary(), shot(), scene(), discontinuity()]


def parsed(data: EventData) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(to_line(cloud_event(data, TIME)))
    return event


def test_attributes_in_order() -> None:
    event = parsed(boundary())
    assert list(event) == [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
    ]
    assert event["id"] == event_id("boundary", "film", 0, PLACE)
    assert event["type"] == "dev.moae-streamer.scene.boundary.v1"
    assert event["source"] == "/moae-streamer/streams/film"
    assert event["subject"] == "film"
    assert event["time"] == "2026-01-02T03:04:05.000678Z"


def test_the_id_ignores_everything_but_kind_stream_epoch_and_position() -> None:
    one = cloud_event(boundary(), TIME)
    other = replace(boundary(), score=0.9, shot_index=9, lookahead_shots=0)
    later = cloud_event(other, TIME + timedelta(days=1))
    assert one.get_id() == later.get_id()
    assert cloud_event(boundary(epoch=1), TIME).get_id() != one.get_id()


def test_times_are_written_in_utc() -> None:
    east = timezone(timedelta(hours=9))
    event = json.loads(to_line(cloud_event(boundary(), datetime(2026, 1, 1, 9, tzinfo=east))))
    assert event["time"] == "2026-01-01T00:00:00Z"
    with pytest.raises(ValueError, match="offset"):
        cloud_event(boundary(), datetime(2026, 1, 1))


@pytest.mark.parametrize("data", PAYLOADS, ids=lambda data: data.kind)
def test_events_are_valid_and_read_back(data: EventData) -> None:
    line = to_line(cloud_event(data, TIME))
    assert problems(json.loads(line)) == []
    read = JSONFormat().read(None, line)
    assert read.get_id() == cloud_event(data, TIME).get_id()
    assert from_json(type(data), read.get_data()) == data


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_stream_name_gives_one_valid_line(name: str) -> None:
    line = to_line(cloud_event(boundary(stream=name), TIME))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    event = json.loads(line)
    assert problems(event) == []
    assert event["subject"] == name


def test_no_number_in_an_event_is_not_finite() -> None:
    def refuse(text: str) -> float:
        raise AssertionError(text)

    for data in PAYLOADS:
        json.loads(to_line(cloud_event(data, TIME)), parse_constant=refuse)
        with pytest.raises(ValueError, match=r"finite|less than|greater than"):
            replace(data, seconds=math.nan)


@pytest.mark.parametrize("kind", list(MODELS))
def test_shipped_schemas_are_those_of_the_models(kind: EventKind) -> None:
    assert shipped(kind) == derived(kind), "run scripts/write-schemas"
    Draft202012Validator.check_schema(shipped(kind))
    assert shipped(kind)["$id"] == f"urn:moae-streamer:schema:{kind}:v1"


def objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in objects(item)]
    if not isinstance(node, dict):
        return []
    inner = [found for value in node.values() for found in objects(value)]
    return [node, *inner] if "properties" in node and node.get("type") == "object" else inner


@pytest.mark.parametrize("kind", list(MODELS))
def test_consumers_accept_what_a_later_version_adds(kind: EventKind) -> None:
    assert all(node["additionalProperties"] is True for node in objects(shipped(kind)))
    event = parsed(next(data for data in PAYLOADS if data.kind == kind))
    event["data"]["added_later"] = {"any": "thing"}
    event["traceparent"] = "an extension attribute"
    assert problems(event) == []


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("data", "score"), 2, "data.score"),
        (("data", "time_base"), "0.04", "data.time_base"),
        (("data", "experts", 0, "weight"), "1", "data.experts[0].weight"),
        (("data", "wallclock", "origin"), "guess", "data.wallclock.origin"),
        (("id",), "1", "id"),
        (("time",), "yesterday", "time"),
        (("dataschema",), "urn:other", "dataschema"),
        (("type",), "com.example.other", "type"),
    ],
)
def test_problems_name_the_place(path: tuple[Any, ...], value: object, word: str) -> None:
    event = parsed(boundary())
    node: Any = event
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    found = problems(event)
    assert len(found) == 1
    assert found[0].startswith(f"{word}: ")


@pytest.mark.parametrize("field", sorted(parsed(boundary())["data"]))
def test_every_field_of_a_boundary_is_required(field: str) -> None:
    event = parsed(boundary())
    del event["data"][field]
    assert problems(event) == [f"data: '{field}' is a required property"]
