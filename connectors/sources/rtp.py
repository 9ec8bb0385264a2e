"""RTP without a session protocol: by a session description, or one static payload."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from streamer.connectors.sources.address import Address
from streamer.connectors.sources.file import check_file
from streamer.connectors.sources.source import ByteStream, Opening, SourceBase
from streamer.errors import SourceForbidden

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.config.sections import SourceSection

SDP_BYTES: Final = 65536


class RtpSource(SourceBase):
    """Receives RTP.

    Args:
        where: A session description (``.sdp``), or ``rtp://HOST:PORT`` for payload types with a
            fixed meaning, such as MPEG-TS.
        settings: Deadlines.
    """

    def __init__(self, where: Address | Path, settings: SourceSection) -> None:
        name = where.shown if isinstance(where, Address) else str(where)
        super().__init__(name, live=True, endless=True)
        self._where, self._settings = where, settings

    def open(self) -> Opening:
        """Reads the description, if there is one.

        Raises:
            SourceError: It cannot be read, or is too large.
        """
        settings = self._settings
        target: str | ByteStream
        if isinstance(self._where, Address):
            target, kind = self._where.url, "rtp"
        else:
            if check_file(self._where).st_size > SDP_BYTES:
                raise SourceForbidden(f"{self.name}: is too large for a session description")
            target, kind = io.BytesIO(self._where.read_bytes()), "sdp"
        return Opening(
            target,
            format=kind,
            formats=frozenset({"sdp", "rtp"}),
            protocols=("rtp", "udp"),
            options={"buffer_size": str(8 << 20)},
            open_seconds=settings.open_seconds,
            stall_seconds=settings.stall_seconds,
        )
