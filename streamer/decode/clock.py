"""From the demuxer's timestamps to strictly increasing instants."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

from streamer.timeline import Instant

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
    """What all streams of one input share.

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
        """Notes that the clock restarted.

        Args:
            offset: Seconds that are added to the source's timestamps from here on.
        """
        step = offset - self.latest.offset
        self._regimes.append(Regime(self.latest.number + 1, offset, step))
        return self.latest

    def after(self, regime: Regime) -> list[Regime]:
        """Those that are remembered and began later, the first one first."""
        return [later for later in self._regimes if later.number > regime.number]

    def note(self, seconds: Fraction) -> None:
        """Looks whether input is missing before the next frame of a feed.

        Args:
            seconds: When that is.
        """
        if seconds - self.reached > self.gap_seconds:
            # Half way: streams that are a little ahead or behind are on the same side of it.
            self._gaps.append((self.reached + seconds) / 2)
            self._passed += 1

    def gaps_before(self, seconds: Fraction) -> int:
        """How many places with missing input lie before a frame."""
        later = 0
        for gap in reversed(self._gaps):
            if gap <= seconds:
                break
            later += 1
        return self._passed - later


class StreamClock:
    """Gives each frame of one stream its instant; instants only increase.

    - A missing PTS is the DTS if that is later than the last frame, else the end of the last
      frame (its start plus its duration).
    - A step back of more than a second is a restart of the clock (joined recordings): this and
      all later frames are shifted so that time goes on; the other stream shifts by the same
      amount when it reaches the restart, so that sound and picture stay together. So it does
      where it shows no restart itself, but is left behind by more than 10 s without.
    - A step back by what 33 bits of a 90 kHz clock hold, give or take a minute, is that clock's
      wrap: exactly as much is added, so that a gap across it keeps its length.
    - A smaller step back, or a repeat, is a frame that must be dropped; for sound, up to 10 ms
      back is rounding by the container, and the block is put at the end of the last one.

    A step forward is a gap and is kept; in a feed it is counted. But for an endless feed whose
    frames came without a pause more than 10 s ahead of the time that passed, and of every other
    stream, is a restart of the clock as well.

    Args:
        regimes: Shared by the streams of one input.
        tolerant: Whether rounding is put right (sound) or dropped (pictures).
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
    ) -> Instant | None:
        """Places the next frame.

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
        instant = Instant(ticks, time_base)
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
        """Whether only the input's latest restart puts a frame beside the other stream."""
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
