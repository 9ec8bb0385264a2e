"""Cameras and encoders over RTSP (RFC 2326), media over TCP or UDP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.connectors.sources.source import Opening, SourceBase
from streamer.connectors.sources.tls import verified

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.address import Address


class RtspSource(SourceBase):
    """Plays an RTSP address; RTCP sender reports give the wall clock.

    Args:
        address: Where; its login answers the server's challenge.
        settings: Deadlines and ``rtsp_transport``.
    """

    def __init__(self, address: Address, settings: SourceSection) -> None:
        super().__init__(address.shown, live=True, endless=True)
        self._address, self._settings = address, settings

    def open(self) -> Opening:
        """The address, its transport and its deadlines."""
        settings = self._settings
        return Opening(
            self._address.url,
            format="rtsp",
            formats=frozenset({"rtsp", "sdp", "rtp"}),
            protocols=("rtp", "srtp", "udp", "tcp", "tls", "crypto"),
            options={
                "rtsp_transport": settings.rtsp_transport,
                "timeout": str(round(settings.stall_seconds * 1e6)),
                "allowed_media_types": "video+audio",
                **(verified(settings) if self._address.scheme == "rtsps" else {}),
            },
            open_seconds=settings.open_seconds,
            stall_seconds=settings.stall_seconds,
        )
