"""Longer films out of short ones, without encoding anything again."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from pathlib import Path


def lengthen(film: Path, out: Path, seconds: float) -> Path:
    """Repeats a film's packets until it lasts long enough.

    Args:
        film: Any container with picture and sound.
        out: Where to; the format follows from the name.
        seconds: At least so long.

    Returns:
        ``out``.
    """
    with av.open(str(out), "w") as target:
        with av.open(str(film)) as source:
            kept = [*source.streams.video[:1], *source.streams.audio[:1]]
            streams = {stream.index: target.add_stream_from_template(stream) for stream in kept}
        offset = begin = Fraction(0)
        while offset < seconds:
            end = offset
            with av.open(str(film)) as source:
                for packet in source.demux([source.streams[index] for index in streams]):
                    if packet.dts is None or packet.pts is None:
                        continue
                    # Sound may begin before 0, with what its decoder needs to get going.
                    begin = min(begin, packet.dts * packet.time_base)
                    shift = round(offset / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    length = (packet.pts + (packet.duration or 0)) * packet.time_base
                    end = max(end, length)
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)
            offset = end - begin
    return out


def as_broadcast(film: Path, out: Path) -> Path:
    """The same packets as a transport stream."""
    with av.open(str(film)) as source, av.open(str(out), "w", format="mpegts") as target:
        kept = [*source.streams.video[:1], *source.streams.audio[:1]]
        streams = {stream.index: target.add_stream_from_template(stream) for stream in kept}
        for packet in source.demux(kept):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return out
