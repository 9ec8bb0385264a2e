"""Event identifiers that a repeat of the same event reproduces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from streamer.timeline import Timestamp

EventKind = Literal["boundary", "shot", "scene", "discontinuity"]

# Part of the identifier's definition: changing it changes every id ever emitted.
NAMESPACE: Final = UUID("6f0d2b52-3c0e-5d2e-9b7e-0c5b1f6a4d11")


def event_id(kind: EventKind, stream: str, epoch: int, position: Timestamp) -> str:
    """Names an event by what it says, never by when or where it was computed.

    Args:
        kind: What happened at the position; a shot and a scene may end at the same instant.
        stream: The stream's name.
        epoch: 0 for files and pipes; a live stream counts it up at each reconnection.
        position: Where on the stream's own clock. Only its reduced rational seconds count, so
            the same instant in another time base has the same id.

    Returns:
        A version 5 UUID in its canonical text form.
    """
    seconds = position.seconds
    name = json.dumps([kind, stream, epoch, seconds.numerator, seconds.denominator])
    return str(uuid5(NAMESPACE, name))
