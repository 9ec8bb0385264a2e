"""How far a stream is behind, and what holds it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.logs import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.pipeline.progress import Stage, StageTimes

SILENCE_SECONDS: Final = 1.0
"""A pause of the source at least this long starts the measurement anew."""

CREEP: Final = 2e-4
"""By how much the best delay may worsen: two clocks that differ by 200 ppm are no lag."""

BEHIND_SECONDS: Final = 2.0
"""Lag that is told."""

_TELL_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 10.0


class LagMeter:
    """Delay of processing behind a live input, without knowing when the input was made.

    The difference between wall clock and media time is smallest when nothing waits; how much
    larger it is now is the lag. What a source holds back itself (a pause of a second or more while
    we wait for it) is not ours: the measurement then starts anew.
    """

    def __init__(self) -> None:
        self._best: float | None = None
        self._at = 0.0

    def note(self, wall: float, media: float, waited: float) -> float:
        """Takes an item that is processed now.

        Args:
            wall: Reading of a monotonic clock.
            media: The item's seconds on the stream's clock.
            waited: Seconds that the input kept us waiting for it.

        Returns:
            The lag in seconds, at least 0.
        """
        delay = wall - media
        if self._best is None or waited >= SILENCE_SECONDS:
            self._best = delay
        else:
            self._best = min(delay, self._best + CREEP * max(0.0, wall - self._at))
        self._at = wall
        return delay - self._best


class SlowStage:
    """Name the stage that takes the time when a stream falls behind; once a minute at most."""

    def __init__(self) -> None:
        self._looked: tuple[float, Mapping[Stage, float]] | None = None
        self._limit = RateLimit(_TELL_SECONDS)

    def note(self, wall: float, lag: float, times: StageTimes) -> Stage | None:
        """Takes the lag.

        Args:
            wall: Reading of a monotonic clock.
            lag: Seconds.
            times: Of the stream.

        Returns:
            What took most time over the last ten seconds, when that is to be told now.
        """
        if self._looked is None or wall - self._looked[0] >= _LOOK_SECONDS:
            before, self._looked = self._looked, (wall, dict(times.spent))
            if before is None or lag < BEHIND_SECONDS or self._limit.passes(now=wall) is None:
                return None
            return times.slowest(before[1])
        return None
