"""Sound and picture of one input, from one demuxer, in exact media time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from streamer.decode import streams
from streamer.decode.clock import Regimes, StreamClock
from streamer.decode.damage import Damage, declared_end
from streamer.decode.formats import CONTAINERS, whitelist
from streamer.decode.pace import Pace
from streamer.decode.reader import CountingReader
from streamer.errors import (
    NotMedia,
    NoUsableStream,
    SourceDamaged,
    SourceEmpty,
    SourceError,
    UnknownCodec,
)
from streamer.timeline import Picture, Sound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    from connectors.sources.source import Source
    from streamer.config.sections import DecodeSection
    from streamer.timeline import Instant, StreamInfo

CONSECUTIVE_FAILURES = 250
INTERLEAVE_SLACK = 3.0


@dataclass(frozen=True, slots=True)
class DecodeStats:
    """Counters of one decoder.

    Attributes:
        packets: Packets read.
        failed_packets: Packets that could not be read or decoded.
        corrupt_frames: Pictures in which the decoder concealed errors.
        dropped_frames: Frames whose time was not after the one before.
        derived_times: Frames without a PTS.
        restarts: Times the source's clock went back by more than a second.
    """

    packets: int
    failed_packets: int
    corrupt_frames: int
    dropped_frames: int
    derived_times: int
    restarts: int


class Decoder:
    """Decodes the best picture and the best sound stream of a source.

    Iterating yields pictures and sound in the order in which the demuxer delivers them,
    pictures in presentation order; it can be done once. At the end of a damaged file
    everything that could be decoded has been yielded before :class:`SourceDamaged` is raised;
    a live source never counts as damaged, and neither do up to two lost packets a stream.

    Args:
        source: The input; opened on entering and closed on leaving the context.
        settings: Limits and threads.
        realtime: Yields each picture when it is due, as if the film were live.
    """

    def __init__(self, source: Source, settings: DecodeSection, realtime: bool = False) -> None:
        self._source = source
        self._settings = settings
        self._pace = Pace() if realtime else None
        self._container: InputContainer | None = None
        self._picture: VideoStream | None = None
        self._sound: AudioStream | None = None
        self._warnings: list[str] = []
        self._damage = Damage()
        regimes = Regimes()
        self._clocks = {
            "video": StreamClock(regimes, tolerant=False),
            "audio": StreamClock(regimes, tolerant=True),
        }
        self._failures = {"video": 0, "audio": 0}
        self._given_up: set[str] = set()
        self._held: dict[str, Packet[Stream]] = {}
        self._packets = 0
        self._corrupt_frames = 0
        self._info: StreamInfo | None = None

    def __enter__(self) -> Decoder:
        """Opens the source.

        Returns:
            Itself.

        Raises:
            SourceError: A subclass says what is wrong with the input.
        """
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def info(self) -> StreamInfo:
        """What the demuxer knew before the first frame."""
        if self._info is None:
            raise ValueError("the decoder is not open")
        return self._info

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is amiss but does not stop the job, one line each."""
        return tuple(self._warnings)

    @property
    def stats(self) -> DecodeStats:
        """Counters so far."""
        clocks = self._clocks.values()
        return DecodeStats(
            packets=self._packets,
            failed_packets=self._damage.lost,
            corrupt_frames=self._corrupt_frames,
            dropped_frames=sum(clock.dropped for clock in clocks),
            derived_times=sum(clock.derived for clock in clocks),
            restarts=max(clock.restarts for clock in clocks),
        )

    @property
    def end(self) -> Fraction:
        """Seconds at which the latest decoded frame ends."""
        return max(clock.end for clock in self._clocks.values())

    @property
    def _prompt(self) -> bool:
        """Pictures are wanted as soon as they can be had."""
        return self._source.live or self._pace is not None

    def due(self, instant: Instant) -> float | None:
        """When a media time was or will be due by the pacing clock.

        Args:
            instant: Media time.

        Returns:
            A reading of :func:`time.monotonic`; None when not paced.
        """
        return None if self._pace is None else self._pace.due(instant.seconds)

    def stop(self) -> None:
        """Ends the iteration soon, also from another thread or a signal handler."""
        self._source.stop()
        if self._pace is not None:
            self._pace.stop()

    def close(self) -> None:
        """Frees the demuxer and the source; may be called twice."""
        if self._container is not None:
            self._container.close()
            self._container = None
        self._source.close()

    def __iter__(self) -> Iterator[Picture | Sound]:
        """Decodes to the end of the input.

        Raises:
            SourceDamaged: The file is truncated or corrupt; raised after its last frame.
        """
        container = self._container
        if container is None:
            raise ValueError("the decoder is not open")
        for packet in self._whole(self._read(container)):
            yield from self._decode(packet)
            if self._given_up >= {s.type for s in self._wanted()}:
                break
        if not self._source.stopped and not self._source.live:
            self._check_damage(container)

    def _open(self) -> None:
        given = self._source.open()
        opened = given if isinstance(given, str) else CountingReader(given)
        name = self._source.name
        options = {
            "format_whitelist": whitelist(),
            "protocol_whitelist": "file" if isinstance(opened, str) else "pipe",
        }
        try:
            container = av.open(opened, "r", container_options=options, metadata_errors="replace")
        except FFmpegError as error:
            raise self._cannot_open(opened, error) from error
        self._container = container
        if container.format.name not in CONTAINERS:
            raise NotMedia(f"{name}: {container.format.name} is not a film or a recording")
        self._choose(container)
        self._info = streams.describe(
            container, self._picture, self._sound, endless=self._source.live
        )

    def _cannot_open(self, opened: str | CountingReader, error: FFmpegError) -> SourceError:
        name = self._source.name
        if self._source.stopped:
            return SourceEmpty(f"{name}: stopped before any media came")
        if not isinstance(opened, str):
            if opened.count == 0:
                return SourceEmpty(f"{name}: no bytes came")
            return NotMedia(f"{name}: no media in it, or not readable while it grows")
        with open(opened.removeprefix("file:"), "rb") as file:  # noqa: PTH123 -- a URL, not a path
            head = file.read(12)
        if head[4:8] == b"ftyp":
            return SourceDamaged(f"{name}: damaged at 0.0 s: the film's index (moov) is missing")
        return NotMedia(f"{name}: not a media file ({error.strerror})")

    def _choose(self, container: InputContainer) -> None:
        name = self._source.name
        pictures = streams.pictures(container)
        sounds = streams.sounds(container)
        if not pictures and not sounds:
            raise NoUsableStream(f"{name}: holds neither picture nor sound")
        self._picture = next((s for s in pictures if s.codec_context is not None), None)
        self._sound = next((s for s in sounds if s.codec_context is not None), None)
        if self._picture is None and self._sound is None:
            raise UnknownCodec(f"{name}: no decoder for its picture or sound")
        if pictures and self._picture is None:
            self._warnings.append("no decoder for the picture; using sound only")
        if sounds and self._sound is None:
            self._warnings.append("no decoder for the sound; using picture only")
        self._limit_size()
        streams.discard_others(container, {s.index for s in self._wanted()})
        self._set_threads()

    def _limit_size(self) -> None:
        if self._picture is None:
            return
        width, height = self._picture.width, self._picture.height
        if width * height > self._settings.max_pixels:
            reason = f"its picture of {width} x {height} is over decode.max_pixels"
            if self._sound is None:
                raise NoUsableStream(f"{self._source.name}: {reason}")
            self._warnings.append(f"{reason}; using sound only")
            self._picture = None
        else:
            # The size may also grow on the way: libavcodec then refuses the packet.
            limit = {"max_pixels": str(self._settings.max_pixels)}
            self._picture.codec_context.options = limit

    def _set_threads(self) -> None:
        if self._picture is None:
            return
        context = self._picture.codec_context
        context.thread_count = self._settings.threads
        # Each frame thread holds a picture back, which only a live source would notice.
        context.thread_type = "SLICE" if self._prompt else "AUTO"

    def _wanted(self) -> list[VideoStream | AudioStream]:
        return [s for s in (self._picture, self._sound) if s is not None]

    def _read(self, container: InputContainer) -> Iterator[Packet[Stream]]:
        # One failed read ends PyAV's generator but not the demuxer: ask for a new one.
        failures = 0
        packets = container.demux(self._wanted())
        while not self._source.stopped:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                failures += 1
                self._damage.add(self.end, f"unreadable ({error.strerror})")
                if failures > CONSECUTIVE_FAILURES:
                    self._damage.fatal = True
                    return
                packets = container.demux(self._wanted())
                continue
            except IndexError:
                # PyAV 18 stumbles at the end of a broadcast in which a stream appeared on the way.
                failures += 1
                if failures > CONSECUTIVE_FAILURES:
                    return
                packets = container.demux(self._wanted())
                continue
            if packet is None:
                return
            failures = 0
            self._packets += 1
            yield packet

    def _whole(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        # A file cut in the middle of its last packet: a frame-threaded decoder would lose the
        # pictures before it to the error, so an incomplete packet waits for a successor.
        for packet in packets:
            kind = packet.stream.type
            held = self._held.pop(kind, None)
            if held is not None and packet.size:
                yield held
            elif held is not None:
                self._damage.add(self._clocks[kind].end, f"{kind} packet is incomplete")
            if packet.is_corrupt and packet.size:
                self._held[kind] = packet
            else:
                yield packet

    def _decode(self, packet: Packet[Stream]) -> Iterator[Picture | Sound]:
        kind = packet.stream.type
        if kind in self._given_up:
            return
        clock = self._clocks[kind]
        try:
            frames = packet.decode()
        except EOFError:
            # Flushed before.
            return
        except FFmpegError as error:
            self._count_failure(kind, error)
            return
        if frames:
            self._failures[kind] = 0
        if packet.size and packet.is_corrupt and clock.started:
            self._damage.add(clock.end, f"{kind} packet is incomplete")
        arrival = time.time() if self._prompt else None
        for frame in frames:
            instant = self._stamp(clock, frame, packet)
            if instant is None:
                continue
            if isinstance(frame, av.VideoFrame):
                self._corrupt_frames += frame.is_corrupt
                self._hold(instant, slack=0.0)
                yield Picture(instant, frame, self._wallclock(instant), arrival)
            elif isinstance(frame, av.AudioFrame):
                self._hold(instant, slack=0.0 if self._picture is None else INTERLEAVE_SLACK)
                yield Sound(instant, frame)

    def _stamp(
        self,
        clock: StreamClock,
        frame: object,
        packet: Packet[Stream],
    ) -> Instant | None:
        if not isinstance(frame, (av.VideoFrame, av.AudioFrame)):
            return None
        time_base = frame.time_base or packet.time_base
        if isinstance(frame, av.AudioFrame):
            duration = Fraction(frame.samples, frame.sample_rate or 1)
        else:
            rate = self.info.frame_rate
            duration = frame.duration * time_base or (1 / rate if rate else Fraction(1, 25))
        return clock.stamp(frame.pts, frame.dts, duration, time_base)

    def _hold(self, instant: Instant, slack: float) -> None:
        if self._pace is not None:
            self._pace.wait(instant.seconds, slack)

    def _wallclock(self, instant: Instant) -> float | None:
        container = self._container
        if container is None or container.start_time_realtime is None:
            return None
        start = Fraction(container.start_time or 0, av.time_base)
        return container.start_time_realtime / 1e6 + float(instant.seconds - start)

    def _count_failure(self, kind: str, error: FFmpegError) -> None:
        clock = self._clocks[kind]
        # Joining in the middle of a recording fails until its first whole picture.
        self._damage.add(clock.end, f"undecodable {kind} ({error.strerror})", real=clock.started)
        self._failures[kind] += 1
        if self._failures[kind] > CONSECUTIVE_FAILURES:
            self._given_up.add(kind)
            self._damage.fatal = True
            self._warnings.append(f"{kind} cannot be decoded any more; gave it up")

    def _check_damage(self, container: InputContainer) -> None:
        name = self._source.name
        if not any(clock.started for clock in self._clocks.values()):
            raise SourceDamaged(f"{name}: damaged at 0.0 s: nothing in it could be decoded")
        self._damage.check_end(self.end, declared_end(container, self._wanted()))
        told = self._damage.describe()
        if told is not None:
            raise SourceDamaged(f"{name}: {told}")
