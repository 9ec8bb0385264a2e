"""Decode video and audio of one input, from one demuxer, in exact media time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from av.error import FFmpegError

from streamer.decode import streams
from streamer.decode.damage import (
    Damage,
    declared_end,
    ends_within_packet,
    holds_all,
    nothing,
    refusal,
)
from streamer.decode.demux import CONSECUTIVE_FAILURES, CONTAINERS, Demuxer
from streamer.decode.opening import CountingReader, open_input
from streamer.decode.packets import EarlySound, skip_to
from streamer.decode.placing import Pace, Placement, unusable
from streamer.decode.streams import DecodeOptions
from streamer.errors import (
    NotMedia,
    SourceClosed,
    SourceDamaged,
    SourceEmpty,
    SourceInterrupted,
    SourceStalled,
    SourceUnreachable,
)
from streamer.timeline import Picture

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from fractions import Fraction
    from types import TracebackType

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

    from streamer.connectors.sources.source import ByteStream, Opening, Source
    from streamer.timeline import Sound, StreamInfo, Timestamp


@dataclass(frozen=True, slots=True)
class DecodeStats:
    """Counters of one decoder.

    Attributes:
        packets: Packets read.
        failed_packets: Packets that could not be read or decoded.
        corrupt_frames: Frames in which the decoder concealed errors.
        dropped_frames: Frames whose time was not after the one before.
        derived_times: Frames without a PTS, or with one that those around it contradict.
        restarts: Times the source's clock went back by more than a second.
    """

    packets: int
    failed_packets: int
    corrupt_frames: int
    dropped_frames: int
    derived_times: int
    restarts: int


class Decoder:
    """Decode the best video and the best audio stream of a source.

    Iterating yields frames and audio in the order in which the demuxer delivers them, frames in
    presentation order, and audio of a file at most a second before its frames; it can be done
    once. At the end of a damaged file everything that could be decoded has been yielded before
    :class:`SourceDamaged` is raised; a live source only counts as damaged when it ends without one
    frame, and up to two lost packets a stream never do.

    Args:
        source: The input; opened on entering and closed on leaving the context.
        options: Limits and threads.
        realtime: Yields each frame when it is due, as if the film were live.
        begin: Begins at the last key frame that is not after these seconds.
    """

    def __init__(
        self,
        source: Source,
        options: DecodeOptions = DecodeOptions(),  # noqa: B008  (frozen)
        *,
        realtime: bool = False,
        begin: Fraction | None = None,
    ) -> None:
        self._source = source
        self._options = options
        self._pace = Pace() if realtime else None
        self._begin = begin
        self._demuxer: Demuxer | None = None
        self._threads: list[threading.Thread] = []
        self._target: str | ByteStream = ""
        self._chosen = streams.Chosen(None, None)
        self._warnings: list[str] = []
        self._damage = Damage()
        self._placement = Placement(source, self._pace, options.gap_seconds)
        self._clocks = self._placement.clocks
        self._failures = {"video": 0, "audio": 0}
        self._given_up: set[str] = set()
        self._held: dict[str, Packet[Stream]] = {}
        self._packets = 0
        self._early, self._reorders = EarlySound(), False
        self._info: StreamInfo | None = None
        self._stall_seconds: float | None = None
        self._broadcast = False

    def __enter__(self) -> Decoder:
        """Open the source.

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
    def streams(self) -> tuple[streams.StreamFacts, ...]:
        """Every stream of the container, used or not."""
        if self._demuxer is None:
            raise ValueError("the decoder is not open")
        return streams.facts(self._demuxer.container, self._chosen)

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
            corrupt_frames=self._placement.corrupt_frames,
            dropped_frames=sum(clock.dropped for clock in clocks),
            derived_times=self._placement.derived,
            restarts=max((clock.restarts for clock in clocks), default=0),
        )

    @property
    def end(self) -> Fraction:
        """Seconds at which the latest decoded frame ends."""
        return self._placement.end

    @property
    def drift(self) -> float | None:
        """Seconds by which frames of a live input come later than its timestamps say.

        Counted from the first frame; it grows when the source's clock is slow, or when
        the consumer cannot keep up. None before the first, and for files.
        """
        return self._placement.drift

    @property
    def live(self) -> bool:
        """Whether the input may still be made while it is read; a network's is known when open."""
        return self._source.live

    def due(self, instant: Timestamp) -> float | None:
        """Return when a media time was or will be due by the pacing clock.

        Args:
            instant: Media time.

        Returns:
            A reading of :func:`time.monotonic`; None when not paced.
        """
        return None if self._pace is None else self._pace.due(instant.seconds)

    @property
    def reading(self) -> bool:
        """Whether a thread reads the input; one that hangs does so after :meth:`close` too."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """End the iteration soon, also from another thread or a signal handler."""
        self._source.stop()
        if self._pace is not None:
            self._pace.stop()

    def close(self) -> None:
        """Free the demuxer and the source; may be called twice."""
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None
        self._source.close()

    def __iter__(self) -> Iterator[Picture | Sound]:
        """Decode to the end of the input.

        Raises:
            SourceDamaged: The file is truncated or corrupt; raised after its last frame. Or an
                input of any kind came to its end without one frame.
            SourceInterrupted: A live input stalled, broke off or was replaced; raised after
                its last frame.
        """
        demuxer = self._demuxer
        if demuxer is None:
            raise ValueError("the decoder is not open")
        self._placement.last_frame = time.monotonic()
        try:
            for packet in self._from_begin(self._whole(self._read(demuxer))):
                yield from self._in_order(packet)
                if self._given_up >= {s.type for s in self._chosen.wanted}:
                    break
                self._check_progress()
        except SourceInterrupted as error:
            yield from self._flush()
            yield from self._placement.finish(self.info)
            raise self._source.fault() or error from None
        for packet in self._early.rest():
            yield from self._decode(packet)
        yield from self._placement.finish(self.info)
        if self._source.stopped:
            return
        name = self._source.name
        if (fault := self._source.fault()) is not None:
            raise fault
        if self._source.endless:
            broken = ", or rather: it cannot be decoded any more" if self._given_up else ""
            raise SourceClosed(f"{name}: the other side ended it{broken}")
        if not any(self._placement.began(kind) for kind in self._clocks):
            raise nothing(self._source, self._target)
        if not self._source.live:
            self._check_damage(demuxer.container)

    def _from_begin(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        if self._begin is None:
            yield from packets
            return
        pictures = self._chosen.picture is not None
        for packet in skip_to(packets, self._begin, pictures=pictures):
            if self._begin is not None:
                # Passing over took its time, in which nothing was to be decoded.
                self._begin, self._placement.last_frame = None, time.monotonic()
            yield packet

    def _open(self) -> None:
        name = self._source.name
        try:
            opening = self._source.open()
            if not isinstance(opening.target, str):
                opening = replace(opening, target=CountingReader(opening.target))
            self._target = opening.target
            self._demuxer = self._demux(opening)
        except SourceUnreachable as error:
            if self._source.stopped:
                raise SourceEmpty(f"{name}: stopped before any media came") from None
            raise self._source.fault() or error from None
        container = self._demuxer.container
        if container.format.name not in CONTAINERS | opening.formats:
            raise NotMedia(f"{name}: {container.format.name} is not a film or a recording")
        self._chosen = streams.choose(container, self._options, name, prompt=self._placement.prompt)
        self._warnings += self._chosen.warnings
        self._reorders = len(self._chosen.wanted) > 1 and not self._placement.prompt
        path = opening.target
        if isinstance(path, str) and path.startswith("file:") and _is_cut(container, path):
            self._warnings.append("ends in the middle of a packet; probably cut short")
        self._stall_seconds = opening.stall_seconds
        self._broadcast = self._source.endless and container.format.name == "mpegts"
        self._placement.wallclock.open(container)
        self._info = streams.describe(
            container, self._chosen.picture, self._chosen.sound, endless=self._source.live
        )

    def _demux(self, opening: Opening) -> Demuxer:
        try:
            demuxer, warnings = open_input(self._source, opening, self._options, self._threads)
        except FFmpegError as error:
            # Without its cause: the demuxer's own words hold the address with its password.
            raise refusal(self._source, opening.target, error) from None
        self._warnings += warnings
        return demuxer

    def _read(self, demuxer: Demuxer) -> Iterator[Packet[Stream]]:
        failures = 0
        for item in demuxer.packets(self._chosen.wanted):
            if isinstance(item, FFmpegError):
                failures += 1
                self._damage.add(self.end, f"unreadable ({item.strerror})")
                self._damage.fatal = failures > CONSECUTIVE_FAILURES
                continue
            failures = 0
            if item.size > self._options.max_packet_bytes:
                self._damage.add(self.end, "a packet is over decode.max_packet_bytes")
                continue
            self._packets += 1
            yield item

    def _whole(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        # A file cut in the middle of its last packet: a frame-threaded decoder would lose the
        # frames before it to the error, so an incomplete packet waits for a successor.
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

    def _in_order(self, packet: Packet[Stream]) -> Iterator[Picture | Sound]:
        """Decode a packet, and with it or before it audio of a file that came too early."""
        if not self._reorders:
            yield from self._decode(packet)
            return
        if packet.stream.type == "audio":
            for one in self._early.push(packet):
                yield from self._decode(one)
            return
        # All at once: what audio does to the clocks must not come in between.
        for item in list(self._decode(packet)):
            at = item.start.seconds - self._clocks["video"].offset
            if isinstance(item, Picture):
                for one in self._early.before(at):
                    yield from self._decode(one)
            yield item
            if isinstance(item, Picture):
                for one in self._early.after(at):
                    yield from self._decode(one)
        over = packet.pts is None and not packet.size
        if over or "video" in self._given_up:
            for one in self._early.rest():
                yield from self._decode(one)

    def _decode(self, packet: Packet[Stream]) -> Iterator[Picture | Sound]:
        kind = packet.stream.type
        if kind in self._given_up:
            return
        if packet.pts is not None and not packet.size:
            # No failure: the frame before continues. What flushes decoders has no time.
            yield from self._placement.repeat(packet, self.info)
            return
        clock = self._clocks[kind]
        try:
            frames = packet.decode()
        except EOFError:
            # Flushed before.
            return
        except FFmpegError as error:
            self._count_failure(kind, str(error.strerror))
            return
        for reason in map(unusable, frames):
            if reason is not None:
                self._count_failure(kind, reason)
        frames = [frame for frame in frames if unusable(frame) is None]
        if frames:
            self._failures[kind] = 0
        if packet.size and packet.is_corrupt and self._placement.began(kind):
            self._damage.add(clock.end, f"{kind} packet is incomplete")
        self._placement.wallclock.packet(packet)
        yield from self._placement.place(kind, frames, packet.time_base, self.info)

    def _flush(self) -> Iterator[Picture | Sound]:
        # What a broken connection left in the decoders; the demuxer flushes them at a real end.
        for stream in self._chosen.wanted:
            if stream.type in self._given_up or stream.time_base is None:
                continue
            try:
                frames = stream.decode(None)
            except (FFmpegError, EOFError):
                continue
            usable = [frame for frame in frames if unusable(frame) is None]
            yield from self._placement.place(stream.type, usable, stream.time_base, self.info)

    def _check_progress(self) -> None:
        stall = self._stall_seconds
        if stall is None:
            return
        name = self._source.name
        if time.monotonic() - self._placement.last_frame > stall:
            raise SourceStalled(f"{name}: sends data, but no frame for {stall:g} s")
        # PyAV shows no stream that a programme table brings later: another connection finds it.
        if self._broadcast and (kind := self._placement.quiet(stall)) is not None:
            raise SourceStalled(f"{name}: no {kind} for {stall:g} s while the rest continues")

    def _count_failure(self, kind: str, reason: str) -> None:
        clock = self._clocks[kind]
        # Joining in the middle of a recording fails until its first whole frame.
        real = self._placement.began(kind)
        self._damage.add(clock.end, f"undecodable {kind} ({reason})", real=real)
        self._failures[kind] += 1
        if self._failures[kind] > CONSECUTIVE_FAILURES:
            self._given_up.add(kind)
            self._damage.fatal = True
            self._warnings.append(f"{kind} cannot be decoded any more; gave it up")

    def _check_damage(self, container: InputContainer) -> None:
        name, target = self._source.name, self._target
        matroska = container.format.name == "matroska,webm"
        file = matroska and isinstance(target, str) and target.startswith("file:")
        if self._damage.lost or not file or not holds_all(Path(str(target).removeprefix("file:"))):
            self._damage.check_end(self.end, declared_end(container, self._chosen.wanted))
        damage = self._damage.describe()
        if damage is not None:
            raise SourceDamaged(f"{name}: {damage}")


def _is_cut(container: InputContainer, url: str) -> bool:
    path = Path(url.removeprefix("file:"))
    return container.format.name == "mpegts" and ends_within_packet(path)
