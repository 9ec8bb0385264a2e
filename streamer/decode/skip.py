"""Passes over the beginning of an input without decoding it."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet
    from av.stream import Stream

WARM_UP: Final = Fraction(1)
"""Seconds of sound before the place, for resamplers to settle."""

MOST_BYTES: Final = 64 << 20
"""Held back at most; where key pictures are further apart, decoding begins earlier."""


def skip_to(
    packets: Iterator[Packet[Stream]], place: Fraction, *, pictures: bool
) -> Iterator[Packet[Stream]]:
    """Begins at the last key picture that is not after a place.

    Every picture from the place on is then decoded as it would have been after all that comes
    before. The input has to keep one clock up to there.

    Args:
        packets: From the beginning of the input.
        place: Seconds on the input's clock.
        pictures: There is a picture stream; else sound alone counts.
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
        if reached or size > MOST_BYTES:
            break
    yield from held
    yield from packets


def _warm(packet: Packet[Stream], place: Fraction) -> bool:
    at = shown_at(packet)
    return packet.stream.type != "video" and (at is None or at >= place - WARM_UP)


def shown_at(packet: Packet[Stream]) -> Fraction | None:
    """Seconds at which a packet is shown, or decoded where only that is known; else None."""
    ticks = packet.dts if packet.pts is None else packet.pts
    if ticks is None or packet.time_base is None:
        return None
    return ticks * packet.time_base
