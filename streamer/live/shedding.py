"""How far a stream is behind, and what is done about it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streamer.aspects.thinning import Thinner
from streamer.live.gauge import LagMeter, SlowStage
from streamer.live.thinning_control import ThinningControl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamer.config.sections import ThinningSection
    from streamer.pipeline.progress import Stage, StageTimes


class LoadShedder:
    """Measures the lag of a live stream and thins its aspects while it is behind.

    Shots, boundaries and pictures are never left out. What can be read again (files) is never
    thinned either: it is read as fast as the rest allows.

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
        """Pieces left out so far, by aspect."""
        return self._skipped

    def restart(self) -> None:
        """A new connection: its clock says nothing about the old one's."""
        self._lag = LagMeter()

    def note(self, wall: float, media: float, waited: float) -> float:
        """Takes an item that is processed now; the arguments are those of `LagMeter.note`.

        Returns:
            Seconds behind.
        """
        return self._lag.note(wall, media, waited)

    def relieve(self, lag: float, wall: float) -> None:
        """Sets how much is left out from now on.

        Args:
            lag: Seconds behind; 0 where nothing is to be left out.
            wall: Reading of a monotonic clock.
        """
        if self._enabled:
            self.thinner.level = self._control.update(lag, wall)

    def slow(self, lag: float, wall: float, times: StageTimes) -> Stage | None:
        """What to warn of now, if anything."""
        return self._slow.note(wall, lag, times)

    def _skip(self, aspect: str) -> None:
        self._skipped[aspect] += 1
