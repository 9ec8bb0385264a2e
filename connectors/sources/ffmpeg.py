"""Live network protocols that FFmpeg speaks itself: RTSP, RTMP, MPEG-TS over UDP, RTP and SRT."""

from __future__ import annotations

import io
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from streamer.connectors.sources.address import Address
from streamer.connectors.sources.file import check_file
from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import SourceForbidden, SourceUnsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.connectors.sources.source import ByteStream

SDP_BYTES: Final = 65536
KERNEL_BYTES: Final = 8 << 20
FIFO_PACKETS: Final = 65536
"""Of 188 bytes, between the network and the demuxer."""
NO_SRT: Final = (
    "the linked FFmpeg has no SRT; let another program receive it: "
    "srt-live-transmit 'srt://HOST:PORT' file://con | streamer tail -"
)


@dataclass(frozen=True, slots=True)
class Protocol:
    """Describe one protocol to FFmpeg.

    Attributes:
        format: The demuxer; None lets FFmpeg find it out.
        formats: Demuxers that are allowed besides the containers.
        protocols: Protocols that may be reached.
        options: Options of demuxer and protocol.
        timeout: The option that takes the stall timeout in microseconds.
    """

    protocols: tuple[str, ...]
    format: str | None = None
    formats: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    timeout: str | None = None


_RTMP: Final = Protocol(
    protocols=("rtmp", "rtmps", "rtmpt", "rtmpts", "ffrtmphttp", "http", "tcp", "tls"),
    options={"rtmp_live": "live"},
    timeout="rw_timeout",
)
_RTSP: Final = Protocol(
    format="rtsp",
    formats=frozenset({"rtsp", "sdp", "rtp"}),
    protocols=("rtp", "srtp", "udp", "tcp", "tls", "crypto"),
    options={"allowed_media_types": "video+audio"},
    timeout="timeout",
)
_RTP: Final = Protocol(
    format="rtp",
    formats=frozenset({"sdp", "rtp"}),
    protocols=("rtp", "udp"),
    options={"buffer_size": str(KERNEL_BYTES)},
)
PROTOCOLS: Final[Mapping[str, Protocol]] = {
    **dict.fromkeys(("rtmp", "rtmps", "rtmpt", "rtmpts"), _RTMP),
    **dict.fromkeys(("rtsp", "rtsps"), _RTSP),
    "rtp": _RTP,
    "srt": Protocol(protocols=("srt",)),
    "udp": Protocol(
        format="mpegts",
        protocols=("udp",),
        options={
            "overrun_nonfatal": "1",
            "buffer_size": str(KERNEL_BYTES),
            "fifo_size": str(FIFO_PACKETS),
            "reuse": "1",
        },
    ),
}
"""Scheme → protocol."""
_TLS: Final = frozenset({"rtsps", "rtmps", "rtmpts"})


class FFmpegSource(SourceBase):
    """Receive a live stream by a protocol of FFmpeg.

    - ``rtsp://`` and ``rtsps://`` (RFC 2326): the login answers the server's challenge, and RTCP
      sender reports give the wall clock.
    - ``rtmp://HOST[:PORT]/APP/STREAM`` and its variants.
    - ``udp://HOST:PORT``, or a multicast group as ``udp://@GROUP:PORT``: MPEG-TS; the query may
      hold options of FFmpeg such as ``localaddr`` and ``sources``.
    - ``rtp://HOST:PORT`` for payload types with a fixed meaning, else a session description.
    - ``srt://HOST:PORT``, with FFmpeg's options in the query (``mode``, ``passphrase``,
      ``streamid``, ``latency``).

    Args:
        where: The address, or the path of a session description (``.sdp``).
        open_seconds: Seconds in which the streams have to be known.
        stall_seconds: Seconds in which the next packet has to come.
        rtsp_transport: ``tcp`` or ``udp``; RTSP only.
        ca_file: PEM file of authorities; None takes the system's, else those of requests.
    """

    def __init__(
        self,
        where: Address | Path,
        *,
        open_seconds: float = 10.0,
        stall_seconds: float = 10.0,
        rtsp_transport: str = "tcp",
        ca_file: Path | None = None,
    ) -> None:
        name = where.shown if isinstance(where, Address) else str(where)
        super().__init__(name, live=True, endless=True)
        self._where = where
        self._open_seconds, self._stall_seconds = open_seconds, stall_seconds
        self._rtsp_transport, self._ca_file = rtsp_transport, ca_file

    def open(self) -> Opening:
        """Describe the stream to the demuxer; nothing is connected to yet.

        Raises:
            SourceError: A session description cannot be read or is too large, or the linked
                FFmpeg lacks the protocol.
        """
        target: str | ByteStream
        if isinstance(self._where, Address):
            target, scheme = self._where.url, self._where.scheme
            protocol = PROTOCOLS[scheme]
            demuxer = protocol.format
        else:
            if check_file(self._where).st_size > SDP_BYTES:
                raise SourceForbidden(f"{self.name}: is too large for a session description")
            target, scheme = io.BytesIO(self._where.read_bytes()), "sdp"
            protocol, demuxer = _RTP, "sdp"
        if scheme == "srt" and not has_srt():
            raise SourceUnsupported(f"{self.name}: {NO_SRT}")
        options = dict(protocol.options)
        if protocol is _RTSP:
            options["rtsp_transport"] = self._rtsp_transport
        if protocol.timeout is not None:
            options[protocol.timeout] = str(round(self._stall_seconds * 1e6))
        if scheme in _TLS:
            options |= tls_options(self._ca_file)
        return Opening(
            target,
            format=demuxer,
            formats=protocol.formats,
            protocols=protocol.protocols,
            options=options,
            open_seconds=self._open_seconds,
            stall_seconds=self._stall_seconds,
        )


def tls_options(ca_file: Path | None) -> dict[str, str]:
    """Give the options that make FFmpeg verify a peer, which it does not by default."""
    system = ssl.get_default_verify_paths().cafile
    return {"tls_verify": "1", "ca_file": str(ca_file or system or DEFAULT_CA_BUNDLE_PATH)}


def has_srt() -> bool:
    """Say whether the linked FFmpeg speaks SRT; nothing is connected to."""
    import av

    try:
        # The white list keeps a protocol that is there from being used.
        av.open("srt://127.0.0.1:1", container_options={"protocol_whitelist": "file"}).close()
    except av.error.ProtocolNotFoundError:
        return False
    except av.error.FFmpegError:
        return True
    return True
