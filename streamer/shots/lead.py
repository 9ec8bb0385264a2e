"""Windows of sound where no picture says where a shot ends."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.shots.fixed import FixedSplitter
from streamer.shots.step import Step
from streamer.timeline import Instant

if TYPE_CHECKING:
    from streamer.shots.fixed import WindowState
    from streamer.shots.step import ShotOptions
    from streamer.timeline import Shot


class SoundLead:
    """Splits sound in fixed windows until the first picture comes, if one ever does.

    A picture may be in the input after sound that is later than it. Windows are therefore
    decided ``patience`` behind the sound, and there are none when the picture comes before that.

    Args:
        options: The length of a window.
        patience: Seconds that a picture may trail the sound in the input; 0 without pictures.
    """

    def __init__(self, options: ShotOptions, patience: Fraction) -> None:
        self._windows = FixedSplitter(options)
        self._patience = patience
        self._first: Instant | None = None
        self._reached: Instant | None = None

    @property
    def start(self) -> Instant | None:
        """First instant of the first window; None where there is no window yet."""
        return None if self._reached is None else self._first

    @property
    def reached(self) -> Instant | None:
        """Up to where time has been given to windows; a picture before it comes too late."""
        return self._reached

    def state(self) -> WindowState:
        """What another lead needs to go on; after a `push` that closed a window."""
        return self._windows.state()

    def resume(self, state: WindowState) -> None:
        """Goes on from a state; the next block begins at ``state.start`` or later."""
        self._first, self._reached = state.origin, state.start
        self._windows.resume(state)

    def push(self, start: Instant) -> Step | None:
        """Takes the start of the next block of sound.

        Args:
            start: When its first sample sounds; not earlier than the block before.

        Returns:
            Windows that closed, and the time before which no window can end any more; None while
            a picture may still take the place of the first one.
        """
        if self._first is None:
            self._first = start
        certain = Instant(start.pts - round(self._patience / start.time_base), start.time_base)
        if certain < (self._first if self._reached is None else self._reached):
            return None
        if self._reached is None:
            self._windows.push(self._first)
        self._reached = certain
        return self._windows.push(certain)

    def hand_over(self, picture: Instant) -> tuple[Shot, ...]:
        """Ends the window under way where the first picture is shown.

        Args:
            picture: Later than ``reached``.

        Returns:
            The remaining windows, the last one ended by a cut; empty where there was none.
        """
        if self._reached is None:
            return ()
        *closed, last = self._windows.finish(picture)
        return (*closed, replace(last, ended_by="cut"))

    def finish(self, end: Instant) -> tuple[Shot, ...]:
        """Closes the last window at the end of an input in which no picture came.

        Args:
            end: When the last block ends.

        Returns:
            The remaining windows; empty when no sound came.
        """
        if self._first is None:
            return ()
        if self._reached is None:
            self._windows.push(self._first)
            self._reached = self._first
        return self._windows.finish(end)
