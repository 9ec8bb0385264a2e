"""A film, a playlist or an endless stream on an HTTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamer.connectors.sources.dash import DashPlaylist
from streamer.connectors.sources.dash import recognises as is_dash
from streamer.connectors.sources.hls import HlsPlaylists
from streamer.connectors.sources.hls import recognises as is_hls
from streamer.connectors.sources.source import Opening, SourceBase
from streamer.connectors.sources.web import Client, in_time
from streamer.errors import SourceEmpty

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.connectors.sources.address import Address
    from streamer.connectors.sources.web import Body
    from streamer.errors import SourceError


class HttpSource(SourceBase):
    """Read over HTTP or HTTPS; what is there is known once it is open.

    - A body with a known length is a film: read in any order if the server does ranges, and
      taken up again where a connection broke.
    - A body without one is an endless live stream.
    - A playlist is HLS or DASH, live or not as it says.

    Args:
        address: Where.
        open_seconds: Seconds in which the server has to answer.
        stall_seconds: Seconds in which the next byte has to come.
        ca_file: PEM file of authorities; None takes the usual ones.
        max_playlist_bytes: Largest HLS or DASH playlist that is read.
    """

    def __init__(
        self,
        address: Address,
        *,
        open_seconds: float = 10.0,
        stall_seconds: float = 10.0,
        ca_file: Path | None = None,
        max_playlist_bytes: int = 4 << 20,
    ) -> None:
        super().__init__(address.shown, live=True, endless=False)
        self._address, self._max_playlist_bytes = address, max_playlist_bytes
        self._client = Client(
            address,
            lambda: self.stopped,
            open_seconds=open_seconds,
            stall_seconds=stall_seconds,
            ca_file=ca_file,
        )
        self._playlist: HlsPlaylists | None = None
        self._body: Body | None = None

    @property
    def live(self) -> bool:
        """Return what the server's answer says; true before :meth:`open`."""
        return self._live if self._playlist is None else self._playlist.live

    @property
    def endless(self) -> bool:
        """Return what the server's answer says, until a playlist says that it is over."""
        if self._playlist is None:
            return self._endless
        return self._playlist.live and not self._playlist.ended

    @property
    def replays(self) -> bool:
        """Return whether it had its end when it was opened."""
        return not (self._endless if self._playlist is None else self._playlist.live)

    @property
    def recovers(self) -> bool:
        """Return True: the server decides."""
        return True

    def open(self) -> Opening:
        """Ask for the address.

        Raises:
            SourceError: There is no connection, or the server refuses.
        """
        plain = self._address.plain
        kind, plus, rest = plain.partition("+")
        url = rest if plus and kind in {"hls", "dash"} else plain
        body = self._body = in_time(self._client, url, self._client.open_seconds)
        path = urlsplit(body.final_url).path
        playlist: type[HlsPlaylists] | None = None
        if kind == "hls" or is_hls(body.content_type, path):
            playlist = HlsPlaylists
        elif kind == "dash" or is_dash(body.content_type, path):
            playlist = DashPlaylist
        if playlist is not None:
            body.close()
            self._playlist = playlist(self._client, max_playlist_bytes=self._max_playlist_bytes)
            return self._playlist.opening(body.final_url)
        if body.size == 0:
            raise SourceEmpty(f"{self.name}: has zero bytes")
        self._live = self._endless = body.size is None
        return Opening(
            body,
            open_seconds=self._client.open_seconds,
            stall_seconds=self._client.stall_seconds,
        )

    def fault(self) -> SourceError | None:
        """Return the error of a playlist or of one of its parts."""
        return None if self._playlist is None else self._playlist.fault

    def wallclock(self) -> float | None:
        """Return the program date of a playlist."""
        return None if self._playlist is None else self._playlist.wallclock()

    def close(self) -> None:
        """Close connections; a read that never returns keeps its own until it does."""
        if self._body is not None:
            self._body.close()
        self._client.close()
