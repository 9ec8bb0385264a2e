"""Secure Reliable Transport, where the linked FFmpeg has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import SourceUnsupported

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.address import Address

BRIDGE = (
    "the linked FFmpeg has no SRT; let another program receive it: "
    "srt-live-transmit 'srt://HOST:PORT' file://con | streamer tail -"
)


def linked() -> bool:
    """Whether the FFmpeg in use has the protocol; nothing is connected to."""
    import av

    try:
        # The white list keeps a protocol that is there from being used.
        av.open("srt://127.0.0.1:1", container_options={"protocol_whitelist": "file"}).close()
    except av.error.ProtocolNotFoundError:
        return False
    except av.error.FFmpegError:
        return True
    return True


class SrtSource(SourceBase):
    """Calls or awaits an SRT peer.

    Args:
        address: ``srt://HOST:PORT``, with FFmpeg's options in the query (``mode``,
            ``passphrase``, ``streamid``, ``latency``).
        settings: Deadlines.
    """

    def __init__(self, address: Address, settings: SourceSection) -> None:
        super().__init__(address.shown, live=True, endless=True)
        self._address, self._settings = address, settings

    def open(self) -> Opening:
        """The address and its deadlines.

        Raises:
            SourceUnsupported: There is no SRT here; the message says what to do.
        """
        if not linked():
            raise SourceUnsupported(f"{self.name}: {BRIDGE}")
        return Opening(
            self._address.url,
            protocols=("srt",),
            open_seconds=self._settings.open_seconds,
            stall_seconds=self._settings.stall_seconds,
        )
