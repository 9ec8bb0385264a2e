"""Turn the timestamps of one input into instants that only increase."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from streamer.timeline import Timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence


RESTART_SECONDS = Fraction(1)
BROADCAST_TICK = Fraction(1, 90000)
WRAP_SECONDS = 2**33 * BROADCAST_TICK
"""After how long the 33 bits of a broadcast timestamp start at 0 again: 26.5 hours."""
WRAP_SLACK = Fraction(60)
LEAP_SECONDS = Fraction(10)
JITTER_SECONDS = Fraction(1, 100)
GAP_SECONDS = Fraction(2)
TOGETHER_SECONDS = Fraction(3)
REMEMBERED = 64
"""Streams of one input pass a gap or a restart within moments of each other."""


@dataclass(frozen=True, slots=True)
class Regime:
    """A stretch in which the clock of an input did not restart.

    Attributes:
        number: How many restarts came before it.
        offset: Seconds that are added to the source's timestamps.
        step: By how much more than in the stretch before.
    """

    number: int = 0
    offset: Fraction = Fraction(0)
    step: Fraction = Fraction(0)


class Regimes:
    """Clock restarts and gaps that all streams of one input share.

    Attributes:
        reached: Seconds at which the latest frame of any stream ends.
        gap_seconds: So much without a frame of any stream, in a feed, is missing input.
    """

    def __init__(self, gap_seconds: Fraction = GAP_SECONDS) -> None:
        self.reached = Fraction(0)
        self.gap_seconds = gap_seconds
        self._regimes: deque[Regime] = deque([Regime()], maxlen=REMEMBERED)
        self._gaps: deque[Fraction] = deque(maxlen=REMEMBERED)
        self._passed = 0

    @property
    def latest(self) -> Regime:
        """What the last restart began."""
        return self._regimes[-1]

    def begin(self, offset: Fraction) -> Regime:
        """Note that the clock restarted.

        Args:
            offset: Seconds that are added to the source's timestamps from here on.
        """
        step = offset - self.latest.offset
        self._regimes.append(Regime(self.latest.number + 1, offset, step))
        return self.latest

    def after(self, regime: Regime) -> list[Regime]:
        """Return the remembered stretches that began later, the first one first."""
        return [later for later in self._regimes if later.number > regime.number]

    def note(self, seconds: Fraction) -> None:
        """Note a gap if input is missing before the next frame of a feed.

        Args:
            seconds: When that is.
        """
        if seconds - self.reached > self.gap_seconds:
            # Half way: streams that are a little ahead or behind are on the same side of it.
            self._gaps.append((self.reached + seconds) / 2)
            self._passed += 1

    def gaps_before(self, seconds: Fraction) -> int:
        """Count the gaps before a frame."""
        later = 0
        for gap in reversed(self._gaps):
            if gap <= seconds:
                break
            later += 1
        return self._passed - later


class StreamClock:
    """Give each frame of one stream its instant; instants only increase.

    - A missing PTS is the DTS if that is later than the last frame, else the end of the last
      frame (its start plus its duration).
    - A step back of more than a second is a restart of the clock (joined recordings): this and
      all later frames are shifted so that time continues; the other stream shifts by the same
      amount when it reaches the restart, so that audio and video stay together. So it does
      where it shows no restart itself, but lags by more than 10 s without.
    - A step back by what 33 bits of a 90 kHz clock hold, give or take a minute, is that clock's
      wrap: exactly as much is added, so that a gap across it keeps its length.
    - A smaller step back, or a repeat, is a frame that must be dropped; for audio, up to 10 ms
      back is rounding by the container, and the block is put at the end of the last one.

    A step forward is a gap and is kept; in a feed it is counted. But for an endless feed whose
    frames came without a pause more than 10 s ahead of the time that passed, and of every other
    stream, is a restart of the clock as well.

    Args:
        regimes: Shared by the streams of one input.
        tolerant: Whether rounding is put right (audio) or dropped (frames).
    """

    def __init__(self, regimes: Regimes, *, tolerant: bool) -> None:
        self._regimes = regimes
        self._regime = Regime()
        self._tolerant = tolerant
        self._last: Fraction | None = None
        self._end = Fraction(0)
        self.gaps = 0
        self.dropped = 0
        self.derived = 0

    @property
    def restarts(self) -> int:
        """How often the input's clock had restarted by this stream's last frame."""
        return self._regime.number

    @property
    def offset(self) -> Fraction:
        """Seconds that were added to the source's timestamp of the last frame."""
        return self._regime.offset

    @property
    def step(self) -> Fraction:
        """Seconds that the last restart added to the source's timestamps."""
        return self._regime.step

    @property
    def end(self) -> Fraction:
        """Seconds at which the last frame ends; 0 before the first."""
        return self._end

    def stamp(
        self,
        pts: int | None,
        dts: int | None,
        duration: Fraction,
        time_base: Fraction,
        passed: float | None = None,
    ) -> Timestamp | None:
        """Place the next frame.

        Args:
            pts: Presentation time in ticks, if known.
            dts: Decoding time in ticks, if known.
            duration: Seconds the frame lasts; 0 when unknown.
            time_base: Seconds in a tick.
            passed: Real seconds since the frame before, for an endless feed; a recording has
                none, so that its times do not depend on how fast it is read.

        Returns:
            When the frame starts, later than every earlier answer, or None to drop it; `gaps`
            says how often the input of a feed was missing before it.
        """
        seconds = self._source_seconds(pts, dts, time_base)
        last = self._last
        if self._left_behind(seconds):
            seconds = self._enter(self._regimes.latest, seconds)
        if last is not None and time_base == BROADCAST_TICK:
            # Around a wrap, FFmpeg has counted some timestamps on already and others not.
            ahead = seconds - WRAP_SECONDS
            seconds = ahead if abs(ahead - self._end) <= WRAP_SLACK else seconds
        back = last is not None and seconds < last - RESTART_SECONDS
        if back or (last is not None and passed is not None and self._leaps(seconds, passed)):
            seconds = self._restart(seconds, time_base)
        if last is not None and seconds <= last:
            if not self._tolerant or seconds < last - JITTER_SECONDS or self._end <= last:
                self.dropped += 1
                return None
            seconds = self._end
        ticks = round(seconds / time_base)
        if last is not None and ticks * time_base <= last:
            ticks += 1
        instant = Timestamp(ticks, time_base)
        if passed is not None and last is not None:
            self._regimes.note(instant.seconds)
        self.gaps = self._regimes.gaps_before(instant.seconds)
        self._last = instant.seconds
        self._end = self._last + duration
        self._regimes.reached = max(self._regimes.reached, self._end)
        return instant

    def _source_seconds(self, pts: int | None, dts: int | None, time_base: Fraction) -> Fraction:
        offset = self._regime.offset
        if pts is not None:
            return pts * time_base + offset
        self.derived += 1
        if dts is not None and (self._last is None or dts * time_base + offset > self._last):
            return dts * time_base + offset
        return max(self._end, Fraction(0)) if self._last is None else self._end

    def _leaps(self, seconds: Fraction, passed: float) -> bool:
        return seconds - self._regimes.reached > LEAP_SECONDS + Fraction(max(0.0, passed))

    def _left_behind(self, seconds: Fraction) -> bool:
        """Return whether only the input's latest restart puts a frame near the other stream."""
        reached, latest = self._regimes.reached, self._regimes.latest
        there = seconds - self._regime.offset + latest.offset
        return reached - seconds > LEAP_SECONDS and abs(reached - there) <= TOGETHER_SECONDS

    def _restart(self, seconds: Fraction, time_base: Fraction) -> Fraction:
        source, end = seconds - self._regime.offset, self._end
        others = [
            regime
            for regime in self._regimes.after(self._regime)
            if source + regime.offset > end - LEAP_SECONDS
        ]
        if others:
            nearest = min(others, key=lambda regime: abs(source + regime.offset - end))
            return self._enter(nearest, seconds)
        missing = seconds + WRAP_SECONDS - end
        wrapped = time_base == BROADCAST_TICK and abs(missing) <= WRAP_SLACK
        step = WRAP_SECONDS if wrapped else end - seconds
        return self._enter(self._regimes.begin(self._regime.offset + step), seconds)

    def _enter(self, regime: Regime, seconds: Fraction) -> Fraction:
        before, self._regime = self._regime, regime
        return seconds - before.offset + regime.offset


Frame = TypeVar("Frame")

FAR_SECONDS: Final = Fraction(4)
PAUSE_SLACK: Final = Fraction(1, 2)
NEAR_SECONDS: Final = Fraction(2)
"""Audio and video are hardly ever read further apart."""


@dataclass(frozen=True, slots=True)
class Claim(Generic[Frame]):
    """A frame and its time as the source states it.

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
        """Return the same frame at another time.

        Args:
            seconds: On the source's clock.
        """
        return replace(self, pts=round(seconds / self.time_base), dts=None)

    def unsaid(self) -> Claim[Frame]:
        """Return the same frame without a time."""
        return replace(self, pts=None, dts=None)


class Outliers(Generic[Frame]):
    """Hold frames of one stream whose timestamps leap until it is known whether they may.

    A leap is more than a second away, either way, from where the stream would be; the
    wrap of a 33-bit 90 kHz clock is none. It is believed

    - when the stream continues from there for long enough,
    - when the other stream is there as well, for a leap of more than 4 s or one that took as long
      in the other stream (a frame that is shown for long),
    - when so much time passed, for an endless feed.

    When the stream continues from where it was instead, as after a flipped bit, the frames held
    are spread over the time between their neighbours, and nothing else moves. The first frame
    has nothing before it and is believed like one that leaps.

    Args:
        run: For how many seconds, and at least two frames, a stream continues from where it leapt
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
        """Use another stream of the input as a reference.

        Args:
            other: Of the same input and on the same clock.
        """
        self._other = other

    def push(self, claim: Claim[Frame]) -> list[Claim[Frame]]:
        """Take the next frame.

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
        """Check against the other stream again, after it has advanced.

        Returns:
            The frames held where it is with them now.
        """
        last = self._held[-1] if self._held else None
        if last is None or last.at is None or not self._vouched(last, last.at):
            return []
        first, _ = self._last_run()
        return self._believe(first)

    def finish(self) -> list[Claim[Frame]]:
        """Return the frames still held at the end of the input.

        A last leap is kept, as that of a frame that was shown for long, unless the other
        stream never came near it.
        """
        apart = self._apart(self._held[-1]) if self._held else None
        if self._at is not None and apart is not None and apart > FAR_SECONDS:
            self._held = [claim.unsaid() for claim in self._held]
        return self._release()

    def _predecessor(self, claim: Claim[Frame], at: Fraction) -> int | None:
        """Find the frame that this one follows best: a held one, -1 the last released, or none."""
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
        """Find the held frame since which each follows the one before, and the seconds since."""
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
        """Return whether real time or the other stream confirms the time of a frame."""
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
        """Return by how much the other stream advanced since this one's last released frame."""
        other = None if self._other is None else self._other._at
        if other is None or self._met is None:
            return Fraction(0)
        return _ahead(self._met, other, tick)

    def _apart(self, claim: Claim[Frame]) -> Fraction | None:
        """Return the seconds from the last frame of the other stream, where both have times."""
        if self._other is None or claim.at is None:
            return None
        other = self._other._at
        if other is None and self._other._held:
            other = self._other._held[-1].at
        return None if other is None else abs(_ahead(other, claim.at, claim.time_base))

    def _spread(
        self, start: Fraction, lasted: Fraction, between: Sequence[Claim[Frame]], end: Fraction
    ) -> list[Claim[Frame]]:
        """Spread frames between two times in proportion to their durations."""
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
        """Release the frames from a held one on, and those before it with corrected times.

        These are put after the last good frame, or before the first one of all.
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
    """Return by how many seconds a frame misses the end of the one before."""
    return max(Fraction(0), step - lasted, -step)


def _ahead(start: Fraction, end: Fraction, tick: Fraction) -> Fraction:
    """Return the seconds from one time to another, the short way round on a clock that wraps."""
    step = end - start
    if tick != BROADCAST_TICK:
        return step
    return (step + WRAP_SECONDS / 2) % WRAP_SECONDS - WRAP_SECONDS / 2
