"""Timestamps that those around them contradict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from streamer.decode.clock import BROADCAST_TICK, RESTART_SECONDS, WRAP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

Frame = TypeVar("Frame")

FAR_SECONDS: Final = Fraction(4)
PAUSE_SLACK: Final = Fraction(1, 2)
NEAR_SECONDS: Final = Fraction(2)
"""Sound and picture are hardly ever read further apart."""


@dataclass(frozen=True, slots=True)
class Claim(Generic[Frame]):
    """A frame and what the source says of its time.

    Attributes:
        frame: The frame.
        pts: Presentation time in ticks, if known.
        dts: Decoding time in ticks, if known.
        duration: Seconds the frame lasts; 0 when unknown.
        time_base: Seconds in a tick.
        passed: Real seconds since the frame before, for an endless feed.
    """

    frame: Frame
    pts: int | None
    dts: int | None
    duration: Fraction
    time_base: Fraction
    passed: float | None = None

    @property
    def at(self) -> Fraction | None:
        """Seconds on the source's clock; None when the source does not say."""
        ticks = self.dts if self.pts is None else self.pts
        return None if ticks is None else ticks * self.time_base

    def moved(self, seconds: Fraction) -> Claim[Frame]:
        """The same frame at another time.

        Args:
            seconds: On the source's clock.
        """
        return replace(self, pts=round(seconds / self.time_base), dts=None)

    def unsaid(self) -> Claim[Frame]:
        """The same frame without a time."""
        return replace(self, pts=None, dts=None)


class Outliers(Generic[Frame]):
    """Holds frames of one stream whose timestamps leap until it is known whether they may.

    A leap is more than a second away, either way, from where the stream would be; 33 bits of a
    90 kHz clock that begin anew are none. It is believed

    - when the stream goes on from there for long enough,
    - when the other stream is there as well, for a leap of more than 4 s or one that took as long
      in the other stream (a picture that is shown for long),
    - when so much time passed, for an endless feed.

    When the stream goes on from where it was instead, as behind a flipped bit, the frames held
    are spread over the time between their neighbours, and nothing else moves. The first frame
    has nothing before it and is believed like one that leaps.

    Args:
        run: For how many seconds, and at least two frames, a stream goes on from where it leapt
            to for that to be believed.
        most: So many frames are held; then their timestamps are taken as they are.
    """

    def __init__(self, run: Fraction, most: int) -> None:
        self._run, self._most = run, most
        self._other: Outliers[Frame] | None = None
        self._held: list[Claim[Frame]] = []
        self._at: Fraction | None = None
        self._met: Fraction | None = None
        self._lasted = Fraction(0)
        self.moved = 0

    def ask(self, other: Outliers[Frame]) -> None:
        """Takes another stream of the input as a witness.

        Args:
            other: Of the same input and on the same clock.
        """
        self._other = other

    def push(self, claim: Claim[Frame]) -> list[Claim[Frame]]:
        """Takes the next frame.

        Args:
            claim: In the order in which frames are shown.

        Returns:
            Frames with the times they are to have, in the same order; none while in doubt.
        """
        held = self._held
        if claim.at is None:
            held.append(claim)
            return self._release() if len(held) == 1 or len(held) > self._most else []
        before = self._predecessor(claim, claim.at)
        if before == -1:
            assert self._at is not None
            held[:] = self._spread(self._at, self._lasted, held, claim.at)
            held.append(claim)
            return self._release()
        if before is not None:
            place = held[before].at
            assert place is not None
            later = held[before + 1 :]
            held[before + 1 :] = self._spread(place, held[before].duration, later, claim.at)
        held.append(claim)
        first, ran = self._last_run()
        if self._vouched(claim, claim.at) or (first + 1 < len(held) and ran >= self._run):
            return self._believe(first)
        return self._release() if len(held) > self._most else []

    def settle(self) -> list[Claim[Frame]]:
        """Asks the other stream once more, after it has gone on.

        Returns:
            The frames held where it is with them now.
        """
        last = self._held[-1] if self._held else None
        if last is None or last.at is None or not self._vouched(last, last.at):
            return []
        first, _ = self._last_run()
        return self._believe(first)

    def finish(self) -> list[Claim[Frame]]:
        """The frames still held at the end of the input.

        A last leap is kept, as that of a picture that was shown for long, unless the other
        stream never came near it.
        """
        apart = self._apart(self._held[-1]) if self._held else None
        if self._at is not None and apart is not None and apart > FAR_SECONDS:
            self._held = [claim.unsaid() for claim in self._held]
        return self._release()

    def _predecessor(self, claim: Claim[Frame], at: Fraction) -> int | None:
        """Which frame this one follows best: a held one, -1 the last let through, or none."""
        best, least = None, RESTART_SECONDS
        lasted, nearest = Fraction(0), WRAP_SECONDS
        for index in range(len(self._held) - 1, -2, -1):
            lasted += self._lasted if index < 0 else self._held[index].duration
            place = self._at if index < 0 else self._held[index].at
            if place is None:
                continue
            step = _ahead(place, at, claim.time_base)
            if step > nearest:
                # A frame between the two fits where it is.
                continue
            nearest = step if step > 0 else nearest
            off = _off(step, lasted)
            if off < least:
                best, least = index, off
        return best

    def _last_run(self) -> tuple[int, Fraction]:
        """Since which held frame each follows the one before, and for how many seconds."""
        first, ran, lasted = len(self._held) - 1, Fraction(0), Fraction(0)
        next_at = self._held[first].at
        for index in range(first - 1, -1, -1):
            claim = self._held[index]
            lasted += claim.duration
            if claim.at is None or next_at is None:
                continue
            step = _ahead(claim.at, next_at, claim.time_base)
            if _off(step, lasted) >= RESTART_SECONDS:
                break
            first, next_at, lasted = index, claim.at, Fraction(0)
            ran += step
        return first, ran

    def _vouched(self, claim: Claim[Frame], at: Fraction) -> bool:
        """Whether real time or the other stream says that a frame may be where it is."""
        apart = self._apart(claim)
        if self._at is None:
            return apart is not None and apart <= RESTART_SECONDS
        step = _ahead(self._at, at, claim.time_base)
        if claim.passed is not None and 0 < step <= claim.passed + RESTART_SECONDS:
            return True
        if apart is None or apart > NEAR_SECONDS:
            return False
        return abs(step) > FAR_SECONDS or abs(step - self._waited(claim.time_base)) <= PAUSE_SLACK

    def _waited(self, tick: Fraction) -> Fraction:
        """Seconds that the other stream went on since this one's last frame was let through."""
        other = None if self._other is None else self._other._at
        if other is None or self._met is None:
            return Fraction(0)
        return _ahead(self._met, other, tick)

    def _apart(self, claim: Claim[Frame]) -> Fraction | None:
        """Seconds between a frame and the last of the other stream, where both say."""
        if self._other is None or claim.at is None:
            return None
        other = self._other._at
        if other is None and self._other._held:
            other = self._other._held[-1].at
        return None if other is None else abs(_ahead(other, claim.at, claim.time_base))

    def _spread(
        self, start: Fraction, lasted: Fraction, between: Sequence[Claim[Frame]], end: Fraction
    ) -> list[Claim[Frame]]:
        """Puts frames between two times, each as long as its duration has it."""
        if not between:
            return []
        durations = [lasted, *(claim.duration for claim in between)]
        whole = sum(durations)
        step = _ahead(start, end, between[0].time_base)
        placed, passed = [], Fraction(0)
        for number, claim in enumerate(between):
            passed += durations[number]
            share = passed / whole if whole else Fraction(number + 1, len(durations))
            placed.append(claim.moved(start + step * share))
        self.moved += len(placed)
        return placed

    def _believe(self, first: int) -> list[Claim[Frame]]:
        """Lets frames through from a held one on, and those before it, which lead nowhere.

        These are put behind the last good frame, or before the first one of all.
        """
        lead, at = self._held[:first], self._held[first].at
        if self._at is not None or at is None:
            self._held[:first] = [claim.unsaid() for claim in lead]
            return self._release()
        for index in range(first - 1, -1, -1):
            at -= lead[index].duration
            self._held[index] = lead[index].moved(at)
        self.moved += first
        return self._release()

    def _release(self) -> list[Claim[Frame]]:
        released, self._held = self._held, []
        self._met = None if self._other is None else self._other._at
        for claim in released:
            if claim.at is None:
                self._lasted += claim.duration
            else:
                self._at, self._lasted = claim.at, claim.duration
        return released


def _off(step: Fraction, lasted: Fraction) -> Fraction:
    """Seconds by which a frame misses the one before, which may last shorter than it says."""
    return max(Fraction(0), step - lasted, -step)


def _ahead(start: Fraction, end: Fraction, tick: Fraction) -> Fraction:
    """Seconds from one time to another, the short way round on a clock that begins anew."""
    step = end - start
    if tick != BROADCAST_TICK:
        return step
    return (step + WRAP_SECONDS / 2) % WRAP_SECONDS - WRAP_SECONDS / 2
