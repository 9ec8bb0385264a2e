"""How a run tells others about itself, without knowing who they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.events.payload import Boundary, Gap, GapReason
    from streamer.pipeline.stages import Stage
    from streamer.timeline import StreamInfo


Fault = Literal["packet", "picture", "time"]
"""A packet that could not be read or decoded; a picture in which the decoder concealed errors; a
frame that was dropped because its time was not after the one before."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        position: Seconds of input read since the start of the stream, over all epochs.
        duration: Seconds of input in all, None when not known.
        shots: Closed.
        scenes: Complete.
        boundaries: Decided.
        lag: Seconds that a paced or live run is behind its input, else 0.
        epoch: Its number; counted up at each reconnection.
        drift: Seconds that media time ran ahead of the arrival clock since the epoch began.
        spent: Seconds by stage since the run began.
        thinning: How far aspects are thinned; 0 is full quality.
        skipped: Pieces left out by thinning, by aspect.
        faults: What the input had wrong with it, see `Fault`.
        lost_sound: Seconds of sound given up because no picture said in time where they belong.
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


class Observer(Protocol):
    """Watches one run. All calls come from the run's thread."""

    def opened(self, info: StreamInfo, warnings: tuple[str, ...]) -> None:
        """The input is open; again after each reconnection.

        Args:
            info: What it holds.
            warnings: What is amiss but does not stop the run.
        """

    def progressed(self, progress: Progress) -> None:
        """At most ten times a second, and at the end."""

    def decided(self, boundary: Boundary, delay: float | None) -> None:
        """A boundary was found and its events were handed to the sinks.

        Args:
            boundary: What was found.
            delay: Seconds from when the end of the shot it waited for was due until now; None
                when the input is not paced.
        """

    def lost(self, reason: GapReason, detail: str, wait: float) -> None:
        """The input went away, or could not be reached again.

        Args:
            reason: In one word.
            detail: One line for people, without credentials.
            wait: Seconds until it is tried again.
        """

    def returned(self, discontinuity: Gap) -> None:
        """Input goes on behind a gap, in a new epoch."""

    def slow(self, stage: Stage, lag: float) -> None:
        """A live run falls behind; told once a minute at most.

        Args:
            stage: What takes the time.
            lag: Seconds behind.
        """


class Unwatched:
    """Nobody watches; also a base for observers that care about a few calls only."""

    def opened(self, info: StreamInfo, warnings: tuple[str, ...]) -> None:
        """Nothing to do."""

    def progressed(self, progress: Progress) -> None:
        """Nothing to do."""

    def decided(self, boundary: Boundary, delay: float | None) -> None:
        """Nothing to do."""

    def lost(self, reason: GapReason, detail: str, wait: float) -> None:
        """Nothing to do."""

    def returned(self, discontinuity: Gap) -> None:
        """Nothing to do."""

    def slow(self, stage: Stage, lag: float) -> None:
        """Nothing to do."""
