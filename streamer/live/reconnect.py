"""Decide what follows when a connection ends: stop, resume, a new epoch or an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tenacity import RetryCallState, Retrying, wait_random_exponential

from streamer.connectors.sources.registry import open_source
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
    from streamer.config.sections import ReconnectSection, SourceSection
    from streamer.connectors.sources.source import Source
    from streamer.errors import SourceError
    from streamer.events.payload import GapReason
    from streamer.pipeline.progress import ResumeState

Action = Literal["stop", "resume", "new_epoch", "fail"]
"""End the stream; read on from where it was; connect in a new epoch; raise the error."""

_PERMANENT: Final = (SourceUnsupported, SourceForbidden)
"""Permanent: needs other settings or another program, where no feed has been read yet."""

_TRANSIENT: Final = (SourceInterrupted, SourceNotFound, SourceRefused, NotMedia, SourceEmpty)
"""Transient: what servers answer while they have nothing to send."""


@dataclass(slots=True)
class Disconnect:
    """State why input is missing since a connection ended.

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

    def missing_input(self) -> MissingInput:
        """Describe it for the epoch that follows."""
        return MissingInput(self.reason, self.since, self.attempts, self.detail, self.missing)


def detect_rotation(place: ResumeState, source: Source) -> Disconnect | None:
    """Find out whether another file lies where an earlier process read one.

    Args:
        place: Where that process stopped.
        source: The one that is there now, not opened yet.
    """
    known, since = place.beginning, place.lost_at
    if since is None or known is None or not place.same or source.matches(known):
        return None
    return Disconnect("rotated", f"{source.name}: is another file than before", since)


@dataclass(frozen=True, slots=True)
class StreamHistory:
    """State what has happened to a stream when a connection ends.

    Attributes:
        opened: The connection that ended was open.
        known: There has been input before.
        feed: A connection has been to a feed without an end.
        retry_unreachable: Input is waited for although there never was any.
    """

    opened: bool = False
    known: bool = False
    feed: bool = False
    retry_unreachable: bool = False


def reconnect_action(
    source: Source | None, error: SourceError | None, past: StreamHistory
) -> Action:
    """Decide what follows a connection.

    Args:
        source: The one that ended; None when there was not even a source.
        error: Why; None at the plain end of the data.
        past: Of the stream.
    """
    if error is None:
        endless = source is None or source.endless
        return "new_epoch" if endless and past.known else "stop"
    if not (past.known or past.retry_unreachable):
        return "fail"
    if source is None:
        return "fail" if isinstance(error, _PERMANENT) else "new_epoch"
    return _broken(source, error, past) if past.opened else _unopened(source, error, past)


def _broken(source: Source, error: SourceError, past: StreamHistory) -> Action:
    if source.endless or isinstance(error, SourceReplaced):
        return "new_epoch"
    if not isinstance(error, SourceInterrupted):
        return "fail"
    if source.replays:
        return "resume"
    # A playlist that says it has ended may still break off.
    return "new_epoch" if past.feed else "fail"


def _unopened(source: Source, error: SourceError, past: StreamHistory) -> Action:
    if past.feed:
        # The feed was there, so it may come back, whatever the server says now.
        return "new_epoch"
    if source.endless:
        return "fail" if isinstance(error, _PERMANENT) else "new_epoch"
    transient = _TRANSIENT if past.retry_unreachable else SourceInterrupted
    return "resume" if source.recovers and isinstance(error, transient) else "fail"


def gap_reason(error: SourceError | None) -> GapReason:
    """Name the reason of a gap in one word."""
    if error is None or isinstance(error, SourceClosed):
        return "closed"
    if isinstance(error, SourceReplaced):
        return "rotated"
    if isinstance(error, SourceStalled):
        return "stalled"
    if isinstance(error, SourceDamaged | NotMedia | NoUsableStream | SourceEmpty):
        return "damaged"
    return "unreachable"


class Backoff:
    """Wait between attempts, twice as long at most after each failure, with full jitter.

    The wait after the n-th failure in a row is drawn evenly from 0 to ``first_wait_seconds * 2^n``,
    at most ``max_wait_seconds``: many streams that lost one server do not come back all at once.

    Args:
        settings: Bounds.
    """

    def __init__(self, settings: ReconnectSection) -> None:
        self._attempts = settings.attempts
        self._wait = wait_random_exponential(
            multiplier=settings.first_wait_seconds, max=settings.max_wait_seconds
        )
        self._state = RetryCallState(Retrying(), None, (), {})
        self.attempts = 0

    def next(self) -> float | None:
        """Count a failure.

        Returns:
            Seconds to wait before the next attempt; None when there have been enough.
        """
        if self._attempts and self.attempts >= self._attempts:
            return None
        self.attempts += 1
        self._state.attempt_number = self.attempts
        return self._wait(self._state)

    def reset(self) -> None:
        """Start again, after a connection that worked."""
        self.attempts = 0


class SourceFactory:
    """Make the sources of one location, one for each connection.

    Args:
        location: As `open_source` takes it.
        settings: How it is read.
        first: A source that was made already, for the first connection.
    """

    def __init__(self, location: str, settings: SourceSection, first: Source | None = None) -> None:
        self._location, self._settings, self._first = location, settings, first

    def __call__(self) -> Source:
        """Make the source of the next connection, not opened yet.

        Raises:
            SourceError: The location cannot be read.
        """
        source, self._first = self._first, None
        return open_source(self._location, self._settings) if source is None else source
