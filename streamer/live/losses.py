"""What it means that a connection ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from streamer.errors import (
    NotMedia,
    NoUsableStream,
    SourceClosed,
    SourceDamaged,
    SourceEmpty,
    SourceInterrupted,
    SourceStalled,
)

if TYPE_CHECKING:
    from connectors.sources.source import Source
    from streamer.errors import SourceError
    from streamer.events.payload import GapReason

Sequel = Literal["end", "again", "anew", "raise"]
"""``end`` of the stream; read ``again`` from where it was; connect ``anew``, in a new epoch."""


@dataclass(slots=True)
class Loss:
    """Input has been missing since a connection ended.

    Attributes:
        reason: Why.
        detail: One line for people.
        since: Seconds since the Unix epoch when the last input came.
        attempts: Connections tried since.
    """

    reason: GapReason
    detail: str
    since: float
    attempts: int = 0


def sequel(source: Source | None, error: SourceError | None, *, known: bool) -> Sequel:
    """Says what comes after a connection.

    Args:
        source: The one that ended; None when there was not even a source.
        error: Why; None at the plain end of the data.
        known: The stream has had input before, so whatever is amiss may pass.
    """
    if source is None:
        return "anew" if known else "raise"
    if source.endless:
        return "anew" if known or error is None or _passing(error) else "raise"
    if isinstance(error, SourceClosed):
        return "anew"
    if isinstance(error, SourceInterrupted) and source.replays:
        return "again"
    return "end" if error is None or isinstance(error, SourceDamaged) else "raise"


def reason(source: Source | None, error: SourceError | None) -> GapReason:
    """The word for an event."""
    if error is None:
        return "closed"
    if isinstance(error, SourceClosed):
        return "closed" if source is None or source.endless else "rotated"
    if isinstance(error, SourceStalled):
        return "stalled"
    if isinstance(error, SourceDamaged | NotMedia | NoUsableStream | SourceEmpty):
        return "damaged"
    return "unreachable"


def _passing(error: SourceError) -> bool:
    """Of a live source at its first connection: another attempt may go better."""
    return isinstance(error, SourceInterrupted | SourceDamaged | NotMedia | SourceEmpty)
