"""Put the packets of one input in order: begin late, and let no audio run ahead of its frames."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet
    from av.stream import Stream


WARM_UP: Final = Fraction(1)
"""Seconds of audio before the place, for resamplers to settle."""

MAX_SKIPPED_BYTES: Final = 64 << 20
"""Held back at most; where key frames are further apart, decoding begins earlier."""

AHEAD_SECONDS: Final = 1
"""By which audio may come before its frame as it is."""
MAX_EARLY_BYTES: Final = 32 << 20
MAX_EARLY_PACKETS: Final = 1 << 17


def skip_to(
    packets: Iterator[Packet[Stream]], place: Fraction, *, pictures: bool
) -> Iterator[Packet[Stream]]:
    """Begin at the last key frame that is not after a place.

    Every frame from the place on is then decoded as it would have been after all that comes
    before. The input has to keep one clock up to there.

    Args:
        packets: From the beginning of the input.
        place: Seconds on the input's clock.
        pictures: There is a video stream; else audio alone counts.
    """
    held: deque[Packet[Stream]] = deque()
    size = 0
    for packet in packets:
        at = shown_at(packet)
        video = packet.stream.type == "video"
        if video and packet.is_keyframe and at is not None and at <= place:
            held = deque(kept for kept in held if _warm(kept, place))
            size = sum(kept.size for kept in held)
        if video or not pictures or _warm(packet, place):
            held.append(packet)
            size += packet.size
        if not pictures:
            while held and not _warm(held[0], place):
                size -= held.popleft().size
        reached = at is None or (at > place and (video or not pictures))
        if reached or size > MAX_SKIPPED_BYTES:
            break
    yield from held
    yield from packets


def _warm(packet: Packet[Stream], place: Fraction) -> bool:
    at = shown_at(packet)
    return packet.stream.type != "video" and (at is None or at >= place - WARM_UP)


def shown_at(packet: Packet[Stream]) -> Fraction | None:
    """Return when a packet is shown, or decoded where only that is known, in seconds."""
    ticks = packet.dts if packet.pts is None else packet.pts
    if ticks is None or packet.time_base is None:
        return None
    return ticks * packet.time_base


class EarlySound:
    """Hold packets of audio, still encoded, until the frames have got there.

    Encoders look ahead and decoders hold back a frame a thread: where there is one frame in
    five seconds, minutes of audio may come out before the first. Audio that is at most
    `AHEAD_SECONDS` early passes at once, so that a usual film comes in the order of its file.
    Bounded by `MAX_EARLY_BYTES` and `MAX_EARLY_PACKETS`; beyond that, the oldest passes anyway.
    """

    def __init__(self) -> None:
        self._held: deque[Packet[Stream]] = deque()
        self._bytes = 0
        self._until: Fraction | None = None
        self._over = False

    def push(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """Take the next packet of audio.

        Args:
            packet: In the order of the file; one without a time ends or follows what is held.

        Yields:
            Those that need not wait.
        """
        at = shown_at(packet)
        ready = self._until is not None and at is not None and at <= self._until
        if self._over or (ready and not self._held):
            yield packet
            return
        self._held.append(packet)
        self._bytes += packet.size
        while self._bytes > MAX_EARLY_BYTES or len(self._held) > MAX_EARLY_PACKETS:
            yield self._pop()

    def before(self, seconds: Fraction) -> Iterator[Packet[Stream]]:
        """Give what belongs before a frame.

        Args:
            seconds: When it is shown, on the clock of the file.
        """
        while self._held and ((at := shown_at(self._held[0])) is None or at <= seconds):
            yield self._pop()

    def after(self, seconds: Fraction) -> Iterator[Packet[Stream]]:
        """Give what may pass now that a frame has come.

        Args:
            seconds: When it is shown, on the clock of the file.
        """
        self._until = seconds + AHEAD_SECONDS
        yield from self.before(self._until)

    def rest(self) -> Iterator[Packet[Stream]]:
        """Give everything: no frame comes any more."""
        self._over = True
        while self._held:
            yield self._pop()

    def _pop(self) -> Packet[Stream]:
        packet = self._held.popleft()
        self._bytes -= packet.size
        return packet
