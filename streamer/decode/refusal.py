"""What a demuxer's refusal means, in words without addresses: those may hold passwords."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from av import error as av_error

from streamer.decode.reader import CountingReader
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
    from streamer.connectors.sources.source import ByteStream, Source


def refusal(source: Source, target: str | ByteStream, error: av_error.FFmpegError) -> SourceError:
    """Says why an input could not be opened.

    Args:
        source: The input.
        target: What the demuxer was given.
        error: What it said; its text holds the address and must not be shown.
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
    """Says why an input was opened and gave not one frame.

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
    """Whether the samples (mdat) of an MP4 come before the index that says what they are."""
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
