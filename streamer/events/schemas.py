"""The JSON Schemas (2020-12) of the payloads and of the envelope around them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from streamer.events.cloudevent import SCHEMAS, TYPES
from streamer.events.payload import (
    Boundary,
    EventData,
    Gap,
    Scene,
    Shot,
    json_schema,
)

if TYPE_CHECKING:
    from streamer.events.ids import EventKind

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_RFC3339: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
MODELS: Final[dict[EventKind, type[EventData]]] = {
    "boundary": Boundary,
    "shot": Shot,
    "scene": Scene,
    "discontinuity": Gap,
}


@cache
def shipped(kind: EventKind) -> dict[str, Any]:
    """Reads the schema of a payload that is part of the package.

    Args:
        kind: ``boundary``, ``shot``, ``scene`` or ``discontinuity``.

    Returns:
        A JSON Schema; treat it as read-only.
    """
    text = files("streamer.events").joinpath("schema", f"{kind}.v1.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def derived(kind: EventKind) -> dict[str, Any]:
    """Derives the schema of a payload from its model; what ships has to equal it.

    Unknown properties are allowed at every level, so that an older consumer accepts what a newer
    producer adds.

    Args:
        kind: ``boundary``, ``shot``, ``scene`` or ``discontinuity``.

    Returns:
        A JSON Schema.
    """
    schema = json_schema(MODELS[kind])
    definitions = schema.pop("$defs", {})
    opened: dict[str, Any] = {
        "$schema": DIALECT,
        "$id": SCHEMAS[kind],
        "title": TYPES[kind],
        **{key: value for key, value in _opened(schema).items() if key != "title"},
        "$defs": {name: _opened(definition) for name, definition in definitions.items()},
    }
    return opened


def envelope(kind: EventKind) -> dict[str, Any]:
    """Describes the CloudEvents 1.0 attributes around a payload.

    Args:
        kind: ``boundary``, ``shot``, ``scene`` or ``discontinuity``.

    Returns:
        A JSON Schema of the whole event that refers to the payload's schema.
    """
    text: dict[str, Any] = {"type": "string", "minLength": 1}
    properties: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "format": "uuid"},
        "source": text | {"pattern": "^/moae-streamer/streams/[^/]+$"},
        "type": {"const": TYPES[kind]},
        "subject": text,
        "time": {"type": "string", "format": "date-time", "pattern": _RFC3339},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": SCHEMAS[kind]},
        "data": {"$ref": SCHEMAS[kind]},
    }
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _opened(node: Any) -> Any:
    if isinstance(node, dict):
        plain = {
            key: _opened(value)
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
        }
        if "description" in plain and isinstance(plain["description"], str):
            plain["description"] = plain["description"].split("\n", 1)[0]
        if plain.get("additionalProperties") is False:
            plain["additionalProperties"] = True
        return plain
    if isinstance(node, list):
        return [_opened(item) for item in node]
    return node
