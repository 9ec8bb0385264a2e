"""Place decoded frames on the stream's clock and on the wall clock, and pace them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import av

from streamer.decode.timestamps import Claim, Outliers, Regimes, StreamClock
from streamer.timeline import Picture, Sound, plausible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

    from streamer.connectors.sources.source import Source
    from streamer.timeline import StreamInfo, Timestamp


REBASE_SECONDS = 30.0


class Pace:
    """Hold media back until a monotonic clock has reached its time.

    The first media time seen is due at once. Being late is caught up without waiting. A leap of
    more than 30 s ahead is a gap in the timestamps, not a time to sleep: the clock leaps too.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._offset: float | None = None

    def due(self, seconds: Fraction) -> float | None:
        """Return when a media time is due.

        Args:
            seconds: Media time.

        Returns:
            A reading of :func:`time.monotonic`, None before anything was paced.
        """
        return None if self._offset is None else self._offset + float(seconds)

    def wait(self, seconds: Fraction, slack: float = 0.0) -> None:
        """Wait until a media time is due, or until stopped.

        Args:
            seconds: Media time.
            slack: How many seconds early is still in time.
        """
        now = time.monotonic()
        media = float(seconds)
        if self._offset is None or self._offset + media - now > REBASE_SECONDS:
            self._offset = now - media
        left = self._offset + media - slack - now
        if left > 0:
            self._stop.wait(left)

    def stop(self) -> None:
        """End the running wait and make later ones return at once."""
        self._stop.set()


_MICRO: Final = 1_000_000
_PRFT_BYTES: Final = 8
EARLY_SECONDS: Final = 1.0


class WallClock:
    """Map a stream's own timestamps to real time.

    In this order: the time that the sender gave a packet (RTCP sender reports), what the source
    says of the media being read (a playlist's program date), what the container says of its
    timestamp 0. What cannot be real time is not taken, see :func:`streamer.timeline.plausible`.

    Args:
        source: May know a clock of its own.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._zero: dict[str, float] = {}
        self._container_zero: float | None = None

    def open(self, container: InputContainer) -> None:
        """Take what is known before the first packet.

        Args:
            container: Just opened.
        """
        if (said := plausible(self._source.wallclock())) is not None:
            start = Fraction(container.start_time or 0, av.time_base)
            self._container_zero = said - float(start)
        elif container.start_time_realtime is not None:
            self._container_zero = plausible(container.start_time_realtime / _MICRO)

    def packet(self, packet: Packet[Stream]) -> None:
        """Take the sender's clock from a packet that carries it.

        Args:
            packet: Of the stream whose clock this is.
        """
        if packet.pts is None or not packet.has_sidedata("prft"):
            return
        data = bytes(packet.get_sidedata("prft"))
        real = plausible(int.from_bytes(data[:_PRFT_BYTES], "little", signed=True) / _MICRO)
        if len(data) >= _PRFT_BYTES and real is not None:
            self._zero[packet.stream.type] = real - float(packet.pts * packet.time_base)

    def restart(self, seconds: Fraction, step: Fraction) -> None:
        """Note that the timestamps restarted while real time continued.

        Args:
            seconds: The first new timestamp, as the source gave it.
            step: What has to be added to the new ones so that media time continues.
        """
        self._zero = {kind: zero + float(step) for kind, zero in self._zero.items()}
        if self._container_zero is None:
            return
        self._container_zero += float(step)
        expected = self._container_zero + float(seconds)
        # A date that is already past belongs to a discontinuity that was none.
        while (said := self._source.wallclock()) is not None:
            if said >= expected - EARLY_SECONDS:
                self._container_zero = said - float(seconds)
                return

    def at(self, kind: str, seconds: Fraction) -> float | None:
        """Return when a frame was captured.

        Args:
            kind: ``video`` or ``audio``.
            seconds: Its timestamp as the source gave it.

        Returns:
            Seconds since the Unix epoch; None when unknown or implausible.
        """
        zero = self._zero.get(kind, self._container_zero)
        return None if zero is None else plausible(zero + float(seconds))


INTERLEAVE_SLACK: Final = 3.0
GUESSED_RATE: Final = Fraction(25)
REPEATING: Final = frozenset({"theora", "vp3"})
"""Codecs in which a packet without data shows the frame before it again."""
SOUND_RUN: Final = Fraction(1)
"""One timestamp of a broadcast may count for 0.7 s of audio."""
MOSAIC_ROWS: Final = 2
TRIED_PIXELS: Final = 16
HELD_PICTURES: Final = 4
HELD_SOUNDS: Final = 256


def unusable(frame: object) -> str | None:
    """Say why nothing can be made of a decoded frame.

    Args:
        frame: As it was decoded.

    Returns:
        A few words; None for one that can be used.
    """
    if isinstance(frame, av.VideoFrame):
        name = frame.format.name
        # FFmpeg's scaler ends the process over a mosaic of one row.
        if not _scales(name) or (name.startswith("bayer") and frame.height < MOSAIC_ROWS):
            return f"pixel format {name} of {frame.width} x {frame.height}"
    elif isinstance(frame, av.AudioFrame) and not (frame.samples and frame.sample_rate):
        return "no samples"
    return None


@lru_cache(maxsize=512)
def _scales(pixel_format: str) -> bool:
    try:
        blank = av.VideoFrame(TRIED_PIXELS, TRIED_PIXELS, pixel_format)
        blank.reformat(format="gray", threads=1)
    except (av.FFmpegError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A frame and when it was decoded.

    Attributes:
        frame: Video or audio.
        arrival: Seconds since the Unix epoch, where that counts.
        seen: A reading of :func:`time.monotonic`.
    """

    frame: av.VideoFrame | av.AudioFrame
    arrival: float | None
    seen: float


class Placement:
    """Give frames their instants and their real time, and pace them.

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
        pictures = Outliers[_Decoded](Fraction(0), HELD_PICTURES)
        sounds = Outliers[_Decoded](SOUND_RUN, HELD_SOUNDS)
        pictures.ask(sounds)
        sounds.ask(pictures)
        self._outliers = {"video": pictures, "audio": sounds}
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

    def began(self, kind: str) -> bool:
        """Return whether a frame of a kind has been decoded.

        Args:
            kind: ``video`` or ``audio``.
        """
        return kind in self._seen

    @property
    def derived(self) -> int:
        """Frames whose time had to be worked out."""
        moved = sum(outliers.moved for outliers in self._outliers.values())
        return moved + sum(clock.derived for clock in self.clocks.values())

    @property
    def end(self) -> Fraction:
        """Seconds at which the latest frame ends."""
        return max(clock.end for clock in self.clocks.values())

    def quiet(self, seconds: float) -> str | None:
        """Return which of video and audio stopped so long ago while the other continues.

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
        """Place the next frames of one stream.

        Args:
            kind: ``video`` or ``audio``.
            frames: As decoded.
            time_base: Of the stream, for frames that do not say.
            info: Of the input.

        Yields:
            Those that have a place after the ones before; one whose timestamp leaps waits until
            those after it say whether that is so.
        """
        arrival = time.time() if self.prompt else None
        for frame in frames:
            if not isinstance(frame, (av.VideoFrame, av.AudioFrame)):
                continue
            if info.picture_codec in REPEATING and isinstance(frame, av.VideoFrame):
                self._shown = frame
            ticks = frame.time_base or time_base
            claim = self._claim(kind, frame, (frame.pts, frame.dts), arrival, ticks, info)
            yield from self._take(kind, claim, info)

    def repeat(self, packet: Packet[Stream], info: StreamInfo) -> Iterator[Picture | Sound]:
        """Place the last frame once more, where a packet without data says so.

        Args:
            packet: Of the video stream.
            info: Of the input.

        Yields:
            That frame, if the codec means this by such packets, and what waited for it.
        """
        kind, frame = packet.stream.type, self._shown
        if frame is None or kind != "video":
            return
        arrival = time.time() if self.prompt else None
        stamps = packet.pts, packet.dts
        claim = self._claim(kind, frame, stamps, arrival, packet.time_base, info)
        yield from self._take(kind, claim, info)

    def _take(
        self, kind: str, claim: Claim[_Decoded], info: StreamInfo
    ) -> Iterator[Picture | Sound]:
        ready = self._outliers[kind].push(claim)
        if not ready:
            self.last_frame = claim.frame.seen
        yield from self._give(kind, ready, info)
        for other, outliers in self._outliers.items():
            if other != kind:
                yield from self._give(other, outliers.settle(), info)

    def finish(self, info: StreamInfo) -> Iterator[Picture | Sound]:
        """Place the frames that still wait at the end of the input.

        Args:
            info: Of the input.
        """
        for kind, outliers in self._outliers.items():
            yield from self._give(kind, outliers.finish(), info)

    def _claim(
        self,
        kind: str,
        frame: av.VideoFrame | av.AudioFrame,
        stamps: tuple[int | None, int | None],
        arrival: float | None,
        time_base: Fraction,
        info: StreamInfo,
    ) -> Claim[_Decoded]:
        if isinstance(frame, av.AudioFrame):
            duration = Fraction(frame.samples, frame.sample_rate or 1)
        else:
            duration = frame.duration * time_base or 1 / (info.frame_rate or GUESSED_RATE)
        now = time.monotonic()
        passed = now - self._seen.get(kind, now) if self._source.endless else None
        self._seen[kind] = now
        decoded = _Decoded(frame, arrival, now)
        return Claim(decoded, *stamps, duration, time_base, passed)

    def _give(
        self, kind: str, claims: Sequence[Claim[_Decoded]], info: StreamInfo
    ) -> Iterator[Picture | Sound]:
        clock = self.clocks[kind]
        for claim in claims:
            instant = self._stamp(clock, claim)
            if instant is None:
                continue
            frame = claim.frame.frame
            if isinstance(frame, av.VideoFrame):
                self.corrupt_frames += frame.is_corrupt
                if self._source.live:
                    self._note_drift(instant, claim.frame.seen)
                self._hold(instant, 0.0)
                real = self.wallclock.at(kind, instant.seconds - clock.offset)
                yield Picture(instant, frame, real, claim.frame.arrival, clock.gaps)
            else:
                self._hold(instant, INTERLEAVE_SLACK if info.has_picture else 0.0)
                yield Sound(instant, frame, clock.gaps)
            # After the frame was taken: being slow to take it is no silence of the source.
            self.last_frame = time.monotonic()

    def _stamp(self, clock: StreamClock, claim: Claim[_Decoded]) -> Timestamp | None:
        instant = clock.stamp(claim.pts, claim.dts, claim.duration, claim.time_base, claim.passed)
        if clock.restarts > self._restarts and instant is not None:
            # The first stream to get there speaks for both.
            self._restarts = clock.restarts
            self.wallclock.restart(instant.seconds - clock.offset, clock.step)
        return instant

    def _note_drift(self, instant: Timestamp, seen: float) -> None:
        if self._first is None:
            self._first = seen, instant.seconds
        began, start = self._first
        self.drift = (seen - began) - float(instant.seconds - start)

    def _hold(self, instant: Timestamp, slack: float) -> None:
        if self._pace is not None:
            self._pace.wait(instant.seconds, slack)
