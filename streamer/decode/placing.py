"""From decoded frames to pictures and sound with their times."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av

from streamer.decode.clock import Regimes, StreamClock
from streamer.decode.pace import Pace
from streamer.decode.wallclock import WallClock
from streamer.timeline import Picture, Sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.packet import Packet
    from av.stream import Stream

    from connectors.sources.source import Source
    from streamer.timeline import Instant, StreamInfo

INTERLEAVE_SLACK: Final = 3.0
GUESSED_RATE: Final = Fraction(25)
REPEATING: Final = frozenset({"theora", "vp3"})
"""Codecs in which a packet without data shows the picture before it again."""


class Placement:
    """Gives frames their instants, their real time, and, when paced, their turn.

    Args:
        source: May know the real time; drift is measured where it is live.
        pace: Holds frames back until they are due.
        gap_seconds: What a feed leaves out before its input counts as missing.
    """

    def __init__(self, source: Source, pace: Pace | None, gap_seconds: float) -> None:
        self._source, self._pace = source, pace
        regimes = Regimes(Fraction(gap_seconds).limit_denominator(1000))
        self.clocks = {
            "video": StreamClock(regimes, tolerant=False),
            "audio": StreamClock(regimes, tolerant=True),
        }
        self.wallclock = WallClock(source)
        self.corrupt_frames = 0
        self.drift: float | None = None
        self.last_frame = time.monotonic()
        self._first: tuple[float, Fraction] | None = None
        self._shown: av.VideoFrame | None = None
        self._restarts = 0
        self._seen: dict[str, float] = {}

    @property
    def prompt(self) -> bool:
        """Frames are wanted as soon as they can be had, and their arrival counts."""
        return self._source.live or self._pace is not None

    @property
    def end(self) -> Fraction:
        """Seconds at which the latest frame ends."""
        return max(clock.end for clock in self.clocks.values())

    def quiet(self, seconds: float) -> str | None:
        """Which of picture and sound stopped so long ago while the other goes on.

        Args:
            seconds: On the wall and in the media.
        """
        if len(self._seen) < len(self.clocks):
            return None
        late, other = sorted(self._seen, key=lambda kind: self._seen[kind])
        behind = self.clocks[other].end - self.clocks[late].end
        waited = time.monotonic() - self._seen[late]
        return late if min(float(behind), waited) > seconds else None

    def place(
        self, kind: str, frames: Sequence[object], time_base: Fraction, info: StreamInfo
    ) -> Iterator[Picture | Sound]:
        """Places the next frames of one stream.

        Args:
            kind: ``video`` or ``audio``.
            frames: As decoded.
            time_base: Of the stream, for frames that do not say.
            info: Of the input.

        Yields:
            Those that have a place after the ones before.
        """
        clock = self.clocks[kind]
        arrival = time.time() if self.prompt else None
        for frame in frames:
            if not isinstance(frame, (av.VideoFrame, av.AudioFrame)):
                continue
            if info.picture_codec in REPEATING and isinstance(frame, av.VideoFrame):
                self._shown = frame
            ticks = frame.time_base or time_base
            instant = self._stamp(clock, frame, (frame.pts, frame.dts), ticks, info.frame_rate)
            if instant is not None:
                if isinstance(frame, av.VideoFrame):
                    self.corrupt_frames += frame.is_corrupt
                yield self._placed(frame, instant, info, arrival)
                # After the frame was taken: being slow to take it is no silence of the source.
                self.last_frame = time.monotonic()

    def repeat(self, packet: Packet[Stream], info: StreamInfo) -> Iterator[Picture | Sound]:
        """Places the last picture once more, where a packet without data says so.

        Args:
            packet: Of the picture stream.
            info: Of the input.

        Yields:
            That picture, if the codec means this by such packets.
        """
        frame, clock, ticks = self._shown, self.clocks["video"], packet.time_base
        if frame is None or packet.stream.type != "video":
            return
        instant = self._stamp(clock, frame, (packet.pts, packet.dts), ticks, info.frame_rate)
        if instant is not None:
            arrival = time.time() if self.prompt else None
            yield self._placed(frame, instant, info, arrival)
            self.last_frame = time.monotonic()

    def _placed(
        self,
        frame: av.VideoFrame | av.AudioFrame,
        instant: Instant,
        info: StreamInfo,
        arrival: float | None,
    ) -> Picture | Sound:
        if isinstance(frame, av.AudioFrame):
            self._hold(instant, INTERLEAVE_SLACK if info.has_picture else 0.0)
            return Sound(instant, frame, self.clocks["audio"].gaps)
        if self._source.live:
            self._note_drift(instant)
        self._hold(instant, 0.0)
        clock = self.clocks["video"]
        real = self.wallclock.at("video", instant.seconds - clock.offset)
        return Picture(instant, frame, real, arrival, clock.gaps)

    def _stamp(
        self,
        clock: StreamClock,
        frame: av.VideoFrame | av.AudioFrame,
        stamps: tuple[int | None, int | None],
        time_base: Fraction,
        rate: Fraction | None,
    ) -> Instant | None:
        if isinstance(frame, av.AudioFrame):
            duration = Fraction(frame.samples, frame.sample_rate or 1)
        else:
            duration = frame.duration * time_base or 1 / (rate or GUESSED_RATE)
        now = time.monotonic()
        kind = "video" if isinstance(frame, av.VideoFrame) else "audio"
        passed = now - self._seen.get(kind, now) if self._source.endless else None
        self._seen[kind] = now
        instant = clock.stamp(*stamps, duration, time_base, passed)
        if clock.restarts > self._restarts and instant is not None:
            # The first stream to get there speaks for both.
            self._restarts = clock.restarts
            self.wallclock.restart(instant.seconds - clock.offset, clock.step)
        return instant

    def _note_drift(self, instant: Instant) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now, instant.seconds
        began, start = self._first
        self.drift = (now - began) - float(instant.seconds - start)

    def _hold(self, instant: Instant, slack: float) -> None:
        if self._pace is not None:
            self._pace.wait(instant.seconds, slack)
