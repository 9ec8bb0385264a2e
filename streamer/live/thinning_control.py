"""How far to thin, from how far a stream is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamer.config.sections import ThinningSection

_LONGEST_CALM: Final = 300.0
_CATCHING_UP: Final = 0.1


class ThinningControl:
    """Raises the level while a stream is behind and lowers it when there is slack.

    - Behind by more than ``raise_lag``: one level up at once, and another after each
      ``raise_seconds`` in which it does not catch up by a tenth of that time at least.
    - Behind by less than ``lower_lag`` for ``lower_seconds``: one level down, and so on.
    - In between nothing changes. A level that has to be taken back right after it was lowered
      doubles the time until the next try, up to five minutes; once a lowered level holds for that
      time, the time is as configured again.

    Args:
        settings: Thresholds.
        levels: How many levels there are beside full quality.
    """

    def __init__(self, settings: ThinningSection, levels: int) -> None:
        self._settings, self._levels = settings, levels
        self._level = 0
        self._calm = settings.lower_seconds
        # When it was behind and judged last, and by how much.
        self._judged: tuple[float, float] | None = None
        self._lowered: float | None = None
        self._slack_since: float | None = None

    @property
    def level(self) -> int:
        """The level now."""
        return self._level

    def update(self, lag: float, now: float) -> int:
        """Takes a measurement.

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
        self._judged = None if self._judged is None else (self._judged[0], 0.0)
        self._ease(now)
        return self._level

    def _raise(self, lag: float, now: float) -> None:
        if self._judged is not None:
            since, before = self._judged
            if now - since < self._settings.raise_seconds:
                return
            self._judged = (now, lag)
            if before - lag >= _CATCHING_UP * (now - since):
                return
        self._judged = (now, lag)
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
