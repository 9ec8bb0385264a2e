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
from streamer.pipeline.epoch import Gap

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
        missing: Seconds of media that are missing, where the input says so itself.
    """

    reason: GapReason
    detail: str
    since: float
    attempts: int = 0
    missing: float | None = None

    def gap(self) -> Gap:
        """As the epoch behind it knows it."""
        return Gap(self.reason, self.since, self.attempts, self.detail, self.missing)


def sequel(source: Source | None, error: SourceError | None, *, known: bool) -> Sequel:
    """Says what comes after a connection.

    Args:
        source: The one that ended; None when there was not even a source.
        error: Why; None at the plain end of the data.
        known: The stream has had input before, or is to be waited for: what is amiss may pass.
    """
    if source is None or source.endless:
        if known:
            return "anew"
        return "raise" if error is not None else "end"
    if isinstance(error, SourceInterrupted) and known:
        if isinstance(error, SourceClosed):
            return "anew"
        if source.replays:
            return "again"
    return "raise" if error is not None else "end"


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
