"""What a damaged file is, and where the damage begins."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from streamer.decode.formats import DECLARES_DURATION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

FORGIVEN = 2
PACKETS = (188, 192, 204)
TIMED = 192
SYNC = b"\x47"
SYNCED = 5
MISSING_SECONDS = Fraction(1, 2)
EBML_HEAD = 4096
SEGMENT = b"\x18\x53\x80\x67"


class Damage:
    """Collects what went wrong in one input.

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
        """Notes a lost packet.

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
        """Notes a file that ends before its header says.

        Args:
            reached: End of the last frame, in seconds.
            declared: What the header promised, in seconds; None when it promised nothing.
        """
        if declared is not None and reached < declared - MISSING_SECONDS:
            self._early_end = (reached, declared)

    def describe(self) -> str | None:
        """One line with the second at which the damage begins, None for a sound file."""
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
    """When the used streams should end by the container's header.

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
    """Say whether a Matroska file is as long as its segment says.

    Then nothing was cut off, whatever duration is written in it: the last picture of slides or of a
    slow camera is shown for longer than its packet says.

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
    """An EBML element: its id, where its content starts, and how long that is, if it says."""
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
    """Of a number that starts there, in bytes."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else None


def ends_within_packet(path: Path) -> bool:
    """Whether a broadcast recording ends in the middle of a transport packet.

    That is the only trace of a cut that MPEG-TS keeps, which says nowhere how long it is.

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
