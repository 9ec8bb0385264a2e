"""How a run tells others about itself, without knowing who they are."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamer.events.payload import BoundaryData
    from streamer.timeline import StreamInfo


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        position: Seconds of input read since the start of the stream.
        duration: Seconds of input in all, None when not known.
        shots: Closed.
        scenes: Complete.
        boundaries: Decided.
        lag: Seconds that a paced or live run is behind its input, else 0.
    """

    position: Fraction = Fraction(0)
    duration: Fraction | None = None
    shots: int = 0
    scenes: int = 0
    boundaries: int = 0
    lag: float = 0.0


class Observer(Protocol):
    """Watches one run. All calls come from the run's thread."""

    def opened(self, info: StreamInfo, warnings: tuple[str, ...]) -> None:
        """The input is open.

        Args:
            info: What it holds.
            warnings: What is amiss but does not stop the run.
        """

    def progressed(self, progress: Progress) -> None:
        """At most ten times a second."""

    def decided(self, boundary: BoundaryData, delay: float | None) -> None:
        """A boundary was found and its events were handed to the sinks.

        Args:
            boundary: What was found.
            delay: Seconds from when the end of the shot it waited for was due until now; None
                when the input is not paced.
        """
