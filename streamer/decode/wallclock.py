"""When pictures were real, by the source's own clock."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av

from streamer.timeline import plausible

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

    from streamer.connectors.sources.source import Source

_MICRO: Final = 1_000_000
_PRFT_BYTES: Final = 8
EARLY_SECONDS: Final = 1.0


class WallClock:
    """Maps a stream's own timestamps to real time.

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
        """Takes what is known before the first packet.

        Args:
            container: Just opened.
        """
        if (said := plausible(self._source.wallclock())) is not None:
            start = Fraction(container.start_time or 0, av.time_base)
            self._container_zero = said - float(start)
        elif container.start_time_realtime is not None:
            self._container_zero = plausible(container.start_time_realtime / _MICRO)

    def packet(self, packet: Packet[Stream]) -> None:
        """Takes the sender's clock from a packet that carries it.

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
        """The timestamps started anew; real time went on.

        Args:
            seconds: The first new timestamp, as the source gave it.
            step: What has to be added to the new ones so that media time goes on.
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
        """When a frame was real.

        Args:
            kind: ``video`` or ``audio``.
            seconds: Its timestamp as the source gave it.

        Returns:
            Seconds since the Unix epoch; None when nobody said, or what cannot be.
        """
        zero = self._zero.get(kind, self._container_zero)
        return None if zero is None else plausible(zero + float(seconds))
