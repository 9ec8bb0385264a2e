"""Where a block of sound lies in the run of sound around it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamer.timeline import Sound

MOST_HELD: Final = 4096
"""Blocks; more than come before a rare picture has said where its shot ends."""
PATIENCE: Final = Fraction(2)
"""Seconds beyond the place after which it is not looked for any more."""


@dataclass(frozen=True, slots=True)
class SoundPlace:
    """A block of an unbroken run of sound, by which another process finds the run again.

    Attributes:
        block: Seconds at which the block starts.
        anchor: Seconds at which its run began.
        before: Samples of the run before the block, at the source's rate.
    """

    block: Fraction
    anchor: Fraction
    before: int


class PlaceFinder:
    """Holds blocks back until the one of a place has come, which tells where all of them lie.

    Resampled sound depends on how many samples came before; only counted from the beginning of the
    run is it what it was before the interruption.

    Args:
        place: Of a block that comes again.
    """

    def __init__(self, place: SoundPlace) -> None:
        self._place = place
        self.anchor = place.anchor
        self._held: deque[Sound] = deque()

    def push(self, sound: Sound) -> tuple[list[Sound], int | None] | None:
        """Takes the next block.

        Returns:
            None while it is not known. Then the blocks, and how many samples of the run lie before
            the first of them; None when the place was not found.
        """
        self._held.append(sound)
        late = sound.start.seconds - self._place.block
        if late == 0:
            return self._found()
        if late > PATIENCE or len(self._held) > MOST_HELD:
            return list(self._held), None
        return None

    def _found(self) -> tuple[list[Sound], int]:
        before = self._place.before - sum(one.frame.samples for one in list(self._held)[:-1])
        # What lies before the run cannot be placed in it.
        while before < 0:
            before += self._held.popleft().frame.samples
        return list(self._held), before
