"""From the demuxer's timestamps to strictly increasing instants."""

from __future__ import annotations

from collections import deque
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
REMEMBERED_GAPS = 64
"""Streams of one input pass a gap within moments of each other."""


class Regimes:
    """What all streams of one input share.

    Attributes:
        offsets: One for each time its clock restarted.
        reached: Seconds at which the latest frame of any stream ends.
        gap_seconds: So much without a frame of any stream, in a feed, is missing input.
    """

    def __init__(self, gap_seconds: Fraction = GAP_SECONDS) -> None:
        self.offsets: list[Fraction] = [Fraction(0)]
        self.reached = Fraction(0)
        self.gap_seconds = gap_seconds
        self._gaps: deque[Fraction] = deque(maxlen=REMEMBERED_GAPS)
        self._passed = 0

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
      amount when it reaches the restart, so that sound and picture stay together.
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
        self._regime = 0
        self._tolerant = tolerant
        self._last: Fraction | None = None
        self._end = Fraction(0)
        self.gaps = 0
        self.dropped = 0
        self.derived = 0

    @property
    def started(self) -> bool:
        """Whether a frame has been placed."""
        return self._last is not None

    @property
    def restarts(self) -> int:
        """How often this stream's clock went back by more than a second."""
        return self._regime

    @property
    def offset(self) -> Fraction:
        """Seconds that were added to the source's timestamp of the last frame."""
        return self._regimes.offsets[self._regime]

    @property
    def step(self) -> Fraction:
        """Seconds that the last restart added to the source's timestamps."""
        offsets = self._regimes.offsets
        return offsets[self._regime] - offsets[self._regime - 1] if self._regime else Fraction(0)

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
        offset = self._regimes.offsets[self._regime]
        if pts is not None:
            return pts * time_base + offset
        self.derived += 1
        if dts is not None and (self._last is None or dts * time_base + offset > self._last):
            return dts * time_base + offset
        return max(self._end, Fraction(0)) if self._last is None else self._end

    def _leaps(self, seconds: Fraction, passed: float) -> bool:
        return seconds - self._regimes.reached > LEAP_SECONDS + Fraction(max(0.0, passed))

    def _restart(self, seconds: Fraction, time_base: Fraction) -> Fraction:
        offsets = self._regimes.offsets
        source = seconds - offsets[self._regime]
        if self._regime + 1 == len(offsets):
            missing = seconds + WRAP_SECONDS - self._end
            wrapped = time_base == BROADCAST_TICK and abs(missing) <= WRAP_SLACK
            step = WRAP_SECONDS if wrapped else self._end - seconds
            offsets.append(offsets[-1] + step)
        self._regime += 1
        return source + offsets[self._regime]
