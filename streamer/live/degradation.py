"""Measure how far a live stream is behind, and reduce what its aspects embed until it is not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from streamer.aspects.thinning import Thinner
from streamer.logs import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamer.config.sections import ThinningSection
    from streamer.pipeline.progress import Stage, StageTimes

SILENCE_SECONDS: Final = 1.0
"""A pause of the source at least this long restarts the measurement."""

CREEP: Final = 2e-4
"""By how much the best delay may worsen: two clocks that differ by 200 ppm are no lag."""

BEHIND_SECONDS: Final = 2.0
"""Lag that is warned of."""

_WARN_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 10.0
_LONGEST_CALM: Final = 300.0
_CATCHING_UP: Final = 0.1


class LagMeter:
    """Measure the delay of processing behind a live input, without knowing when it was made.

    The difference between wall clock and media time is smallest when nothing waits; how much
    larger it is now is the lag. A pause of the source itself (of a second or more while the stream
    waits for it) is no lag: the measurement then restarts.
    """

    def __init__(self) -> None:
        self._best: float | None = None
        self._at = 0.0

    def note(self, wall: float, media: float, waited: float) -> float:
        """Take an item that is processed now.

        Args:
            wall: Reading of a monotonic clock.
            media: The item's seconds on the stream's clock.
            waited: Seconds spent waiting for it.

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
        self._before: tuple[float, Mapping[Stage, float]] | None = None
        self._limit = RateLimit(_WARN_SECONDS)

    def note(self, wall: float, lag: float, times: StageTimes) -> Stage | None:
        """Take the lag.

        Args:
            wall: Reading of a monotonic clock.
            lag: Seconds.
            times: Of the stream.

        Returns:
            The stage that took most time over the last ten seconds, when a warning is due.
        """
        if self._before is None or wall - self._before[0] >= _LOOK_SECONDS:
            before, self._before = self._before, (wall, dict(times.spent))
            if before is None or lag < BEHIND_SECONDS or self._limit.passes(now=wall) is None:
                return None
            return times.slowest(before[1])
        return None


class ThinningControl:
    """Raise the level of thinning while a stream is behind, and lower it when there is slack.

    - Behind by more than ``raise_lag``: one level up at once, and another after each
      ``raise_seconds`` in which it does not catch up by a tenth of that time at least.
    - Behind by less than ``lower_lag`` for ``lower_seconds``: one level down, and so on.
    - In between nothing changes. A level that has to be taken back right after it was lowered
      doubles the time until the next try, up to five minutes; once a lowered level holds for that
      time, the time is as configured again.

    Args:
        settings: Thresholds.
        levels: Number of levels besides full quality.
    """

    def __init__(self, settings: ThinningSection, levels: int) -> None:
        self._settings, self._levels = settings, levels
        self._level = 0
        self._calm = settings.lower_seconds
        # When it was last found behind, and by how much.
        self._found_behind: tuple[float, float] | None = None
        self._lowered: float | None = None
        self._slack_since: float | None = None

    @property
    def level(self) -> int:
        """The level now."""
        return self._level

    def update(self, lag: float, now: float) -> int:
        """Take a measurement.

        Args:
            lag: Seconds that the stream is behind.
            now: Monotonic seconds; the same sequence of both gives the same levels.

        Returns:
            The level from now on.
        """
        if lag > self._settings.raise_lag:
            self._slack_since = None
            self._raise(lag, now)
            return self._level
        if lag >= self._settings.lower_lag:
            self._slack_since = None
            return self._level
        # The time is kept: a lag that jumps back and forth must not raise the level at every jump.
        self._found_behind = None if self._found_behind is None else (self._found_behind[0], 0.0)
        self._ease(now)
        return self._level

    def _raise(self, lag: float, now: float) -> None:
        if self._found_behind is not None:
            since, before = self._found_behind
            if now - since < self._settings.raise_seconds:
                return
            self._found_behind = (now, lag)
            if before - lag >= _CATCHING_UP * (now - since):
                return
        self._found_behind = (now, lag)
        if self._level >= self._levels:
            return
        if self._lowered is not None and now - self._lowered < self._calm:
            self._calm = min(2 * self._calm, _LONGEST_CALM)
        self._lowered = None
        self._level += 1

    def _ease(self, now: float) -> None:
        if self._lowered is not None and now - self._lowered >= self._calm:
            self._calm, self._lowered = self._settings.lower_seconds, None
        if self._slack_since is None:
            self._slack_since = now
        if self._level and now - self._slack_since >= self._calm:
            self._level -= 1
            self._lowered = self._slack_since = now


class LoadShedder:
    """Measure the lag of a live stream and thin its aspects while it is behind.

    Shots, boundaries and frames are never left out, and files are never thinned: they are read as
    fast as the rest allows.

    Args:
        settings: When and how fast.
        aspects: Those that are enabled, in the order of the settings.
    """

    def __init__(self, settings: ThinningSection, aspects: Sequence[str]) -> None:
        self._skipped: Counter[str] = Counter()
        self.thinner = Thinner(aspects, self._skip)
        self._control = ThinningControl(settings, len(self.thinner.plan) - 1)
        self._enabled = settings.enabled
        self._lag, self._slow = LagMeter(), SlowStage()

    @property
    def skipped(self) -> Mapping[str, int]:
        """Windows and key frames left out so far, by aspect."""
        return self._skipped

    def restart(self) -> None:
        """Restart the measurement for a new connection, whose clock is another."""
        self._lag = LagMeter()

    def note(self, wall: float, media: float, waited: float) -> float:
        """Take an item that is processed now, as `LagMeter.note` does.

        Returns:
            Seconds behind.
        """
        return self._lag.note(wall, media, waited)

    def relieve(self, lag: float, wall: float) -> None:
        """Set how much is left out from now on.

        Args:
            lag: Seconds behind; 0 where nothing is to be left out.
            wall: Reading of a monotonic clock.
        """
        if self._enabled:
            self.thinner.level = self._control.update(lag, wall)

    def slow(self, lag: float, wall: float, times: StageTimes) -> Stage | None:
        """Return the stage to warn of now, if any."""
        return self._slow.note(wall, lag, times)

    def _skip(self, aspect: str) -> None:
        self._skipped[aspect] += 1
