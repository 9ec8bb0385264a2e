"""Define what a running stream reports of itself, besides its events."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.connectors.sources.file import FileFingerprint
    from streamer.events.payload import Boundary, GapReason
    from streamer.pipeline.resume_point import ResumePoint
    from streamer.timeline import StreamInfo

Fault = Literal["packet", "picture", "time"]
"""A packet that could not be read or decoded; a frame in which the decoder concealed errors; a
frame that was dropped because its time was not after the one before."""

Stage = Literal["source", "decode", "shots", "aspects", "segment", "sinks"]
STAGES: Final[tuple[Stage, ...]] = ("source", "decode", "shots", "aspects", "segment", "sinks")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is; comes at most ten times a second, and at the end.

    Attributes:
        position: Seconds of input read since the start of the stream, over all epochs.
        duration: Seconds of input in all, None when not known.
        shots: Closed.
        scenes: Complete.
        boundaries: Decided.
        lag: Seconds that a paced or live stream is behind its input, else 0.
        epoch: Its number; counted up at each reconnection.
        drift: Seconds that media time ran ahead of the arrival clock since the epoch began.
        spent: Seconds by stage since the run began.
        thinning: How far aspects are thinned; 0 is full quality.
        skipped: Windows and key frames left out by thinning, by aspect.
        faults: Errors of the input, see `Fault`.
        lost_sound: Seconds of audio given up because no frame showed in time to which shot they
            belong.
    """

    position: Fraction = Fraction(0)
    duration: Fraction | None = None
    shots: int = 0
    scenes: int = 0
    boundaries: int = 0
    lag: float = 0.0
    epoch: int = 0
    drift: float = 0.0
    spent: Mapping[Stage, float] = field(default_factory=dict)
    thinning: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[Fault, int] = field(default_factory=dict)
    lost_sound: float = 0.0


@dataclass(frozen=True, slots=True)
class Opened:
    """The input is open; comes again after each reconnection.

    Attributes:
        info: What it holds.
        warnings: Faults that do not stop the stream, one line each.
    """

    info: StreamInfo
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The input went away, or could not be reached again.

    Attributes:
        reason: In one word.
        detail: One line for people, without credentials.
        wait: Seconds until the next attempt.
    """

    reason: GapReason
    detail: str
    wait: float


@dataclass(frozen=True, slots=True)
class Behind:
    """A live stream falls behind; comes at most once a minute.

    Attributes:
        stage: The one that takes the most time.
        lag: Seconds behind.
    """

    stage: Stage
    lag: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """The consumer has taken a boundary and asked for the next event.

    Attributes:
        boundary: Which.
        delay: Seconds from when the end of the shot it waited for was due until now; None when
            the input is not paced.
    """

    boundary: Boundary
    delay: float | None


@dataclass(slots=True)
class Counts:
    """Totals since the beginning of a stream, whether or not the events were sent anywhere.

    Attributes:
        shots: Closed.
        scenes: Complete.
        boundaries: Decided.
        lost_sound: Seconds of audio that were given up before their shot was known.
    """

    shots: int = 0
    scenes: int = 0
    boundaries: int = 0
    lost_sound: float = 0.0


@dataclass(frozen=True, slots=True)
class ResumeState:
    """State where in a stream a run begins.

    Attributes:
        number: Of the epoch; None while a new stream's first one is not numbered.
        mark: Where in its input; None is its beginning.
        base: Media seconds in the epochs before; of an ended stream, in all.
        lost_at: Seconds since the Unix epoch when an earlier process ended; None: there was none.
        same: The input is the same and the window fits: the epoch itself can continue.
        ended: Everything was done.
        beginning: Of the input, by which it is known again; None where it cannot be.
        damage: Why what an earlier process saved is lost; empty when it is not.
    """

    number: int | None
    mark: ResumePoint | None = None
    base: float = 0.0
    lost_at: float | None = None
    same: bool = False
    ended: bool = False
    beginning: FileFingerprint | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class SavePoint:
    """All events so far have been taken: the stream can be resumed from here.

    Attributes:
        counts: Totals up to here.
        resume: From where.
        exact: Times in the input do not depend on what came before.
    """

    counts: Counts
    resume: ResumeState
    exact: bool


Notice = Progress | Opened | Disconnected | Behind | Delivered | SavePoint


class StageTimes:
    """Add up the seconds spent in each stage of one stream.

    ``source`` is waiting for decoded input and ``decode`` the processor time of the decoding
    thread, which runs in parallel; the rest is wall time of the thread that does the work.
    """

    def __init__(self) -> None:
        self._spent = dict.fromkeys(STAGES, 0.0)
        self._decoded = 0.0

    @property
    def spent(self) -> Mapping[Stage, float]:
        """Seconds by stage."""
        return self._spent

    def add(self, stage: Stage, seconds: float) -> None:
        """Count time spent."""
        self._spent[stage] += seconds

    def decoding(self, total: float) -> None:
        """Take the processor time of the decoding thread so far; a new thread begins at 0."""
        self._spent["decode"] += total - self._decoded if total >= self._decoded else total
        self._decoded = total

    def lap(self, stage: Stage, since: float) -> float:
        """Count the time since a reading of `time.perf_counter`.

        Returns:
            The reading now, where the next stage begins.
        """
        now = time.perf_counter()
        self._spent[stage] += now - since
        return now

    def slowest(self, before: Mapping[Stage, float]) -> Stage:
        """Name the stage that held a stream up since an earlier state of ``spent``.

        Where most of the time went into waiting for input although the stream is behind, that is
        decoding: it runs on its own thread.
        """
        since = {stage: self._spent[stage] - before[stage] for stage in STAGES}
        work = {stage: since[stage] for stage in STAGES if stage not in {"source", "decode"}}
        busiest = max(work, key=lambda stage: work[stage])
        return "decode" if since["source"] > sum(work.values()) else busiest
