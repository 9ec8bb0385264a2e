"""MPEG-TS over UDP, to this machine or to a multicast group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.connectors.sources.source import Opening, SourceBase

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.address import Address

KERNEL_BYTES: Final = 8 << 20
FIFO_PACKETS: Final = 65536
"""Of 188 bytes: what may wait between the network and the demuxer."""


class UdpSource(SourceBase):
    """Receives datagrams.

    Args:
        address: ``udp://HOST:PORT``; a group with ``udp://@GROUP:PORT``, and in its query what
            FFmpeg's protocol knows, such as ``localaddr`` and ``sources``.
        settings: Deadlines.
    """

    def __init__(self, address: Address, settings: SourceSection) -> None:
        super().__init__(address.shown, live=True, endless=True)
        self._address, self._settings = address, settings

    def open(self) -> Opening:
        """The address, its buffers and its deadlines."""
        settings = self._settings
        return Opening(
            self._address.url,
            format="mpegts",
            protocols=("udp",),
            options={
                "overrun_nonfatal": "1",
                "buffer_size": str(KERNEL_BYTES),
                "fifo_size": str(FIFO_PACKETS),
                "reuse": "1",
            },
            open_seconds=settings.open_seconds,
            stall_seconds=settings.stall_seconds,
        )
