"""Say what is wrong with an input: why FFmpeg refuses it, and what is damaged."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av import error as av_error

from streamer.decode.demux import DECLARES_DURATION
from streamer.decode.opening import CountingReader
from streamer.errors import (
    NotMedia,
    SourceDamaged,
    SourceEmpty,
    SourceError,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
    SourceUnsupported,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from streamer.connectors.sources.source import ByteStream, Source


FORGIVEN = 2
PACKETS = (188, 192, 204)
TIMED = 192
SYNC = b"\x47"
SYNCED = 5
MISSING_SECONDS = Fraction(1, 2)
EBML_HEAD = 4096
SEGMENT = b"\x18\x53\x80\x67"


class Damage:
    """Collect what went wrong in one input.

    Attributes:
        lost: Packets that could not be read or decoded.
        fatal: A stream had to be given up.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.fatal = False
        self._real = 0
        self._first: tuple[Fraction, str] | None = None
        self._early_end: tuple[Fraction, Fraction] | None = None

    def add(self, seconds: Fraction, reason: str, *, real: bool = True) -> None:
        """Note a lost packet.

        Args:
            seconds: Media time reached.
            reason: A few words.
            real: False for what is lost before a stream's first frame.
        """
        self.lost += 1
        if real:
            self._real += 1
            if self._first is None:
                self._first = (seconds, reason)

    def check_end(self, reached: Fraction, declared: Fraction | None) -> None:
        """Note a file that ends before its header declares.

        Args:
            reached: End of the last frame, in seconds.
            declared: What the header promised, in seconds; None when it promised nothing.
        """
        if declared is not None and reached < declared - MISSING_SECONDS:
            self._early_end = (reached, declared)

    def describe(self) -> str | None:
        """Return one line with the second at which the damage begins, None for an intact file."""
        if self._early_end is not None:
            reached, declared = self._early_end
            first = min(reached, self._first[0]) if self._first else reached
            return (
                f"damaged at {float(first):.1f} s: "
                f"ends at {float(reached):.1f} s of {float(declared):.1f} s"
            )
        if self._first is not None and (self.fatal or self._real > FORGIVEN):
            seconds, reason = self._first
            return f"damaged at {float(seconds):.1f} s: {reason}; {self._real} packets lost"
        return None


def declared_end(
    container: InputContainer, streams: Sequence[VideoStream | AudioStream]
) -> Fraction | None:
    """Return when the used streams should end according to the container's header.

    Args:
        container: An open input.
        streams: The streams that are decoded.

    Returns:
        Seconds, or None where the header does not say or only estimates.
    """
    if container.format.name not in DECLARES_DURATION:
        return None
    ends = [_stream_end(stream) for stream in streams]
    known = [end for end in ends if end is not None]
    if known:
        return max(known)
    if container.duration and len(container.streams) == len(streams):
        # These count from the zero of their clock, the others from their first packet.
        absolute = container.format.name in {"flv", "matroska,webm"}
        start = 0 if absolute else container.start_time or 0
        return Fraction(start + container.duration, av.time_base)
    return None


def holds_all(path: Path) -> bool:
    """Say whether a Matroska file is as long as its segment declares.

    Then nothing was cut off, whatever duration is written in it: the last frame of slides or of a
    slow camera is shown for longer than its packet declares.

    Args:
        path: A file that the Matroska demuxer took.

    Returns:
        False also where the segment does not say.
    """
    with path.open("rb") as file:
        head = file.read(EBML_HEAD)
        size = file.seek(0, os.SEEK_END)
    at = 0
    while (element := _element(head, at)) is not None:
        kind, start, length = element
        if kind == SEGMENT:
            return length is not None and start + length <= size
        if length is None:
            return False
        at = start + length
    return False


def _element(data: bytes, at: int) -> tuple[bytes, int, int | None] | None:
    """Read an EBML element: its id, where its content starts, and its length if known."""
    wide = _width(data, at)
    if wide is None or (long := _width(data, at + wide)) is None:
        return None
    kind, coded = data[at : at + wide], data[at + wide : at + wide + long]
    if len(coded) < long:
        return None
    mask = (1 << 7 * long) - 1
    length = int.from_bytes(coded) & mask
    return kind, at + wide + long, None if length == mask else length


def _width(data: bytes, at: int) -> int | None:
    """Return the width of the number that starts there, in bytes."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else None


def ends_within_packet(path: Path) -> bool:
    """Return whether a broadcast recording ends in the middle of a transport packet.

    That is the only trace of a cut that MPEG-TS keeps, which never states how long it is.

    Args:
        path: A file that the MPEG-TS demuxer took.
    """
    with path.open("rb") as file:
        head = file.read(SYNCED * PACKETS[-1])
        size = file.seek(0, os.SEEK_END)
    for length in PACKETS:
        # Blu-ray's packets have four bytes of time before the one that all begin with.
        first = length - PACKETS[0] if length == TIMED else 0
        if all(head[first + k * length : first + k * length + 1] == SYNC for k in range(SYNCED)):
            return size % length != 0
    return False


def _stream_end(stream: VideoStream | AudioStream) -> Fraction | None:
    time_base = stream.time_base
    if time_base is None:
        return None
    start = (stream.start_time or 0) * time_base
    if stream.duration is not None:
        return start + stream.duration * time_base
    return _matroska_seconds(stream.metadata.get("DURATION", ""))


def _matroska_seconds(tag: str) -> Fraction | None:
    hours, _, rest = tag.partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except (ValueError, ZeroDivisionError):
        return None


def refusal(source: Source, target: str | ByteStream, error: av_error.FFmpegError) -> SourceError:
    """Explain why an input could not be opened.

    Args:
        source: The input.
        target: What the demuxer was given.
        error: FFmpeg's error; its text holds the address and must not be shown.
    """
    name = source.name
    if source.stopped:
        return SourceEmpty(f"{name}: stopped before any media came")
    fault = source.fault()
    if fault is not None:
        return fault
    if isinstance(target, CountingReader):
        if target.count == 0:
            return SourceEmpty(f"{name}: no bytes came")
        growing = ", or not readable while it grows" if source.live else ""
        return NotMedia(f"{name}: no media in it{growing}")
    if isinstance(target, str) and target.startswith("file:"):
        return _file(name, Path(target.removeprefix("file:")), error)
    return _network(name, error)


def nothing(source: Source, target: str | ByteStream) -> SourceDamaged:
    """Explain why an input was opened and gave not one frame.

    Args:
        source: The input, read to its end.
        target: What the demuxer was given.
    """
    why = "nothing in it could be decoded"
    if isinstance(target, CountingReader) and not target.seekable() and _index_last(target.head):
        if not source.live:
            way = "the server sends no parts of files (byte ranges), which reading it needs"
        elif source.replays:
            way = "that can only be read when the file is finished, without following it"
        else:
            way = "a pipe cannot go back"
        why = (
            f"its index (moov) lies at the end, and {way}: write the film with it in front "
            "(ffmpeg -movflags +faststart) or give the file"
        )
    return SourceDamaged(f"{source.name}: damaged at 0.0 s: {why}")


def _index_last(head: bytes) -> bool:
    """Return whether the samples (mdat) of an MP4 come before the index that says what they are."""
    at = 0
    while at + 8 <= len(head):
        size, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if kind in {b"mdat", b"moov"}:
            return kind == b"mdat"
        if size < 8:
            return False
        at += size
    return False


def _file(name: str, path: Path, error: av_error.FFmpegError) -> SourceError:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return SourceDamaged(f"{name}: damaged at 0.0 s: the film's index (moov) is missing")
    return NotMedia(f"{name}: not a media file ({error.strerror})")


def _network(name: str, error: av_error.FFmpegError) -> SourceError:
    match error:
        case av_error.ProtocolNotFoundError() | av_error.DemuxerNotFoundError():
            return SourceUnsupported(f"{name}: the linked FFmpeg cannot do that")
        case av_error.HTTPUnauthorizedError() | av_error.HTTPForbiddenError():
            return SourceRefused(f"{name}: {error.strerror}")
        case av_error.HTTPNotFoundError() | av_error.FileNotFoundError():
            return SourceNotFound(f"{name}: {error.strerror}")
        case av_error.InvalidDataError():
            return NotMedia(f"{name}: sends no media ({error.strerror})")
        case av_error.EOFError():
            return SourceEmpty(f"{name}: no media in it yet")
    if error.errno == errno.EPERM:
        # What FFmpeg makes of a refusal without a number, as RTMP servers answer.
        return SourceUnreachable(f"{name}: the server refuses; nothing may be published there")
    if error.errno == errno.EIO and name.partition(":")[0] in {"rtsps", "rtmps", "rtmpts"}:
        return SourceUnreachable(f"{name}: TLS fails, or its certificate is not trusted")
    return SourceUnreachable(f"{name}: {error.strerror}")
