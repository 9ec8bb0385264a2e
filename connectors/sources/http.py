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
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.address import Address
    from streamer.connectors.sources.web import Body
    from streamer.errors import SourceError


class HttpSource(SourceBase):
    """Reads over HTTP or HTTPS; what is there is known once it is open.

    - A body with a known length is a film: read in any order if the server does ranges, and
      taken up again where a connection broke.
    - A body without one is an endless live stream.
    - A playlist is HLS or DASH, live or not as it says.

    Args:
        address: Where.
        settings: Deadlines, authorities and limits.
    """

    def __init__(self, address: Address, settings: SourceSection) -> None:
        super().__init__(address.shown, live=True, endless=False)
        self._address, self._settings = address, settings
        self._client = Client(address, settings, lambda: self.stopped)
        self._playlist: HlsPlaylists | None = None
        self._body: Body | None = None

    @property
    def live(self) -> bool:
        """As the server's answer says; true before :meth:`open`."""
        return self._live if self._playlist is None else self._playlist.live

    @property
    def endless(self) -> bool:
        """As the server's answer says, until a playlist says that it is over."""
        if self._playlist is None:
            return self._endless
        return self._playlist.live and not self._playlist.ended

    @property
    def replays(self) -> bool:
        """What had its end when it was opened can be read again."""
        return not (self._endless if self._playlist is None else self._playlist.live)

    @property
    def recovers(self) -> bool:
        """Always: the server decides."""
        return True

    def open(self) -> Opening:
        """Asks for the address.

        Raises:
            SourceError: There is no connection, or the server refuses.
        """
        plain = self._address.plain
        kind, plus, rest = plain.partition("+")
        url = rest if plus and kind in {"hls", "dash"} else plain
        body = self._body = in_time(self._client, url, self._settings.open_seconds)
        path = urlsplit(body.final_url).path
        playlist: type[HlsPlaylists] | None = None
        if kind == "hls" or is_hls(body.content_type, path):
            playlist = HlsPlaylists
        elif kind == "dash" or is_dash(body.content_type, path):
            playlist = DashPlaylist
        if playlist is not None:
            body.close()
            self._playlist = playlist(self._client, self._settings)
            return self._playlist.opening(body.final_url)
        if body.size == 0:
            raise SourceEmpty(f"{self.name}: has zero bytes")
        self._live = self._endless = body.size is None
        return Opening(
            body,
            open_seconds=self._settings.open_seconds,
            stall_seconds=self._settings.stall_seconds,
        )

    def fault(self) -> SourceError | None:
        """What a playlist reached for, or who refused a part of it."""
        return None if self._playlist is None else self._playlist.fault

    def wallclock(self) -> float | None:
        """The program date of a playlist."""
        return None if self._playlist is None else self._playlist.wallclock()

    def close(self) -> None:
        """Closes connections; a read that never returns keeps its own until it does."""
        if self._body is not None:
            self._body.close()
        self._client.close()
