"""Checks events against the shipped schemas, for tests and consumers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from streamer.events.cloudevent import TYPES
from streamer.events.schemas import envelope, shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.events.ids import EventKind

_KINDS: Final[dict[str, EventKind]] = {name: kind for kind, name in TYPES.items()}


def problems(event: Mapping[str, Any]) -> list[str]:
    """Lists what is wrong with a structured event.

    Args:
        event: One parsed line of output.

    Returns:
        One line a problem, each with the path of the offending value; empty for a valid event.
    """
    kind = _KINDS.get(str(event.get("type")))
    if kind is None:
        return [f"type: {event.get('type')!r} is not one of {', '.join(sorted(_KINDS))}"]
    return sorted(
        f"{error.json_path.removeprefix('$.')}: {error.message}"
        for error in _validator(kind).iter_errors(dict(event))
    )


@cache
def _validator(kind: EventKind) -> Draft202012Validator:
    schema = shipped(kind)
    registry: Registry[Any] = Registry().with_resource(
        schema["$id"], DRAFT202012.create_resource(schema)
    )
    return Draft202012Validator(
        envelope(kind), registry=registry, format_checker=FormatChecker(["uuid"])
    )
