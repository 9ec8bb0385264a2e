"""RTMP and RTMPS, as encoders and relays speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.connectors.sources.source import Opening, SourceBase
from streamer.connectors.sources.tls import verified

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.address import Address


class RtmpSource(SourceBase):
    """Plays a live stream of an RTMP server.

    Args:
        address: ``rtmp://HOST[:PORT]/APP/STREAM``.
        settings: Deadlines.
    """

    def __init__(self, address: Address, settings: SourceSection) -> None:
        super().__init__(address.shown, live=True, endless=True)
        self._address, self._settings = address, settings

    def open(self) -> Opening:
        """The address and its deadlines."""
        settings = self._settings
        return Opening(
            self._address.url,
            protocols=("rtmp", "rtmps", "rtmpt", "rtmpts", "ffrtmphttp", "http", "tcp", "tls"),
            options={
                "rtmp_live": "live",
                "rw_timeout": str(round(settings.stall_seconds * 1e6)),
                **(verified(settings) if self._address.scheme in {"rtmps", "rtmpts"} else {}),
            },
            open_seconds=settings.open_seconds,
            stall_seconds=settings.stall_seconds,
        )
