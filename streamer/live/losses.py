"""What it means that a connection ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from streamer.errors import (
    NotMedia,
    NoUsableStream,
    SourceClosed,
    SourceDamaged,
    SourceEmpty,
    SourceForbidden,
    SourceInterrupted,
    SourceNotFound,
    SourceRefused,
    SourceReplaced,
    SourceStalled,
    SourceUnsupported,
)
from streamer.pipeline.epoch import MissingInput

if TYPE_CHECKING:
    from streamer.connectors.sources.source import Source
    from streamer.errors import SourceError
    from streamer.events.payload import GapReason
    from streamer.pipeline.progress import ResumeState

Sequel = Literal["end", "again", "anew", "raise"]
"""``end`` of the stream; read ``again`` from where it was; connect ``anew``, in a new epoch."""

_LASTING: Final = (SourceUnsupported, SourceForbidden)
"""Needs other settings or another program, where no feed has been read yet."""

_PASSING: Final = (SourceInterrupted, SourceNotFound, SourceRefused, NotMedia, SourceEmpty)
"""What servers answer for as long as they have nothing to send."""


@dataclass(slots=True)
class Loss:
    """Input has been missing since a connection ended.

    Attributes:
        reason: Why.
        detail: One line for people.
        since: Seconds since the Unix epoch when the last input came; None when not known.
        attempts: Connections tried since.
        missing: Seconds of media that are missing, where the input says so itself.
    """

    reason: GapReason
    detail: str
    since: float | None
    attempts: int = 0
    missing: float | None = None

    def gap(self) -> MissingInput:
        """As the epoch behind it knows it."""
        return MissingInput(self.reason, self.since, self.attempts, self.detail, self.missing)


def rotation(place: ResumeState, source: Source) -> Loss | None:
    """What is lost when another file lies where an earlier process read one.

    Args:
        place: Where that process left off.
        source: What is there, not opened yet.
    """
    known, since = place.beginning, place.lost_at
    if since is None or known is None or not place.same or source.continues(known):
        return None
    return Loss("rotated", f"{source.name}: is another file than before", since)


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a stream when a connection ends.

    Attributes:
        opened: The connection that ended was open.
        known: There has been input before.
        feed: A connection has been to a feed without an end.
        patient: Input is waited for although there never was any.
    """

    opened: bool = False
    known: bool = False
    feed: bool = False
    patient: bool = False


def sequel(source: Source | None, error: SourceError | None, past: Past) -> Sequel:
    """Says what comes after a connection.

    Args:
        source: The one that ended; None when there was not even a source.
        error: Why; None at the plain end of the data.
        past: Of the stream.
    """
    if error is None:
        endless = source is None or source.endless
        return "anew" if endless and past.known else "end"
    if not (past.known or past.patient):
        return "raise"
    if source is None:
        return "raise" if isinstance(error, _LASTING) else "anew"
    return _broken(source, error, past) if past.opened else _unopened(source, error, past)


def _broken(source: Source, error: SourceError, past: Past) -> Sequel:
    if source.endless or isinstance(error, SourceReplaced):
        return "anew"
    if not isinstance(error, SourceInterrupted):
        return "raise"
    if source.replays:
        return "again"
    # A playlist that says that it is over may still break off.
    return "anew" if past.feed else "raise"


def _unopened(source: Source, error: SourceError, past: Past) -> Sequel:
    if past.feed:
        # Whatever the server says for now: the feed was there, and may be there again.
        return "anew"
    if source.endless:
        return "raise" if isinstance(error, _LASTING) else "anew"
    passing = _PASSING if past.patient else SourceInterrupted
    return "again" if source.recovers and isinstance(error, passing) else "raise"


def reason(error: SourceError | None) -> GapReason:
    """The word for an event."""
    if error is None or isinstance(error, SourceClosed):
        return "closed"
    if isinstance(error, SourceReplaced):
        return "rotated"
    if isinstance(error, SourceStalled):
        return "stalled"
    if isinstance(error, SourceDamaged | NotMedia | NoUsableStream | SourceEmpty):
        return "damaged"
    return "unreachable"
