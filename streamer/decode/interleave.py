"""Sound that a file holds long before the pictures it belongs to."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from streamer.decode.skip import shown_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from av.packet import Packet
    from av.stream import Stream

AHEAD_SECONDS: Final = 1
"""By which sound may come before its picture as it is."""
MOST_BYTES: Final = 32 << 20
MOST_PACKETS: Final = 1 << 17


class EarlySound:
    """Holds packets of sound, still encoded, until the pictures have got there.

    Encoders look ahead and decoders hold back a picture a thread: where there is one picture in
    five seconds, minutes of sound may come out before the first. Sound that is at most
    `AHEAD_SECONDS` early passes at once, so that a usual film comes in the order of its file.
    Bounded by `MOST_BYTES` and `MOST_PACKETS`; beyond that, the oldest passes all the same.
    """

    def __init__(self) -> None:
        self._held: deque[Packet[Stream]] = deque()
        self._bytes = 0
        self._until: Fraction | None = None
        self._over = False

    def push(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """Take the next packet of sound.

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
        while self._bytes > MOST_BYTES or len(self._held) > MOST_PACKETS:
            yield self._pop()

    def before(self, seconds: Fraction) -> Iterator[Packet[Stream]]:
        """Give what belongs before a picture.

        Args:
            seconds: When it is shown, on the clock of the file.
        """
        while self._held and ((at := shown_at(self._held[0])) is None or at <= seconds):
            yield self._pop()

    def after(self, seconds: Fraction) -> Iterator[Packet[Stream]]:
        """Give what may pass now that a picture has come.

        Args:
            seconds: When it is shown, on the clock of the file.
        """
        self._until = seconds + AHEAD_SECONDS
        yield from self.before(self._until)

    def rest(self) -> Iterator[Packet[Stream]]:
        """Give everything: no picture comes any more."""
        self._over = True
        while self._held:
            yield self._pop()

    def _pop(self) -> Packet[Stream]:
        packet = self._held.popleft()
        self._bytes -= packet.size
        return packet
