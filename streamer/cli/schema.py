"""`streamer schema`: prints the schemas that events are valid against."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """Kinds of events."""

    BOUNDARY = "boundary"
    SHOT = "shot"
    SCENE = "scene"
    DISCONTINUITY = "discontinuity"


def schema(
    kind: Annotated[Kind, typer.Argument(help="Kind of event.")] = Kind.BOUNDARY,
) -> None:
    """Prints the JSON Schema (2020-12) of an event's data."""
    from streamer.events.schemas import shipped

    sys.stdout.write(json.dumps(shipped(kind.value), indent=2) + "\n")
