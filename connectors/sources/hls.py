"""HTTP Live Streaming (RFC 8216), live and on demand."""

from __future__ import annotations

import contextlib
import io
import re
from collections import deque
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import m3u8

from streamer.connectors.sources.aes import Decrypted
from streamer.connectors.sources.playlist import Fetcher
from streamer.connectors.sources.source import Opening
from streamer.connectors.sources.web import PORTS
from streamer.timeline import plausible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.source import ByteStream
    from streamer.connectors.sources.web import Body, Client

TYPES: Final = frozenset(
    {
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
        "audio/mpegurl",
        "audio/x-mpegurl",
    }
)
ENCRYPTED: Final = re.compile(r"crypto[+:]")
URI: Final = re.compile(r'\bURI="([^"]*)"')
DATE: Final = re.compile(r"^#EXT-X-PROGRAM-DATE-TIME:.*\n", re.MULTILINE)
DATES: Final = 64
"""Most discontinuities whose dates are kept until the decoder comes to them."""


def recognises(content_type: str, path: str) -> bool:
    """Whether an answer is an HLS playlist.

    Args:
        content_type: Of the answer.
        path: Of its address.
    """
    return content_type in TYPES or path.lower().endswith((".m3u8", ".m3u"))


class HlsPlaylists(Fetcher):
    """Gives FFmpeg's HLS demuxer playlists and segments, and remembers program dates.

    Every address in a playlist is made absolute here, after redirections, and has to be HTTP or
    HTTPS.

    Args:
        client: Knows login, certificates and deadlines.
        settings: Limits.
    """

    def __init__(self, client: Client, settings: SourceSection) -> None:
        super().__init__(client, settings)
        # Playlist → segment → date, and whether a discontinuity is before it.
        self._dates: dict[str, dict[str, tuple[float | None, bool]]] = {}
        self._opened: deque[float] = deque(maxlen=DATES)
        self._started = False
        self._ends: dict[str, bool] = {}
        self._grew = False
        self._playlists: set[str] = set()

    @property
    def live(self) -> bool:
        """Whether a media playlist was still growing when it was first read."""
        return self._grew or not self._ends

    @property
    def ended(self) -> bool:
        """Whether every media playlist says that nothing more comes."""
        return bool(self._ends) and all(self._ends.values())

    def opening(self, url: str) -> Opening:
        """How the demuxer reads it.

        Args:
            url: Of the first playlist.
        """
        self._playlists.add(url)
        return Opening(
            url,
            format="hls",
            formats=frozenset({"hls", "webvtt"}),
            protocols=("http", "https"),
            # Only HTTP can be reached at all, whatever the ending of a name.
            options={
                "http_persistent": "0",
                "http_multiple": "0",
                "allowed_extensions": "ALL",
                "allowed_segment_extensions": "ALL",
                "extension_picky": "0",
            },
            fetch=self.fetch,
            open_seconds=self._settings.open_seconds,
            stall_seconds=self._settings.stall_seconds,
        )

    def wallclock(self) -> float | None:
        """The program date of the first segment; then, call by call, of each discontinuity."""
        return self._opened.popleft() if self._opened else None

    def fetch(self, url: str, _: int, options: Mapping[str, str]) -> ByteStream:
        """Opens a playlist or a segment.

        Args:
            url: Absolute.
            options: The demuxer's.

        Raises:
            SourceError: It may not or cannot be had.
        """
        encrypted = ENCRYPTED.match(url)
        url = url if encrypted is None else url[encrypted.end() :]
        scheme = urlsplit(url).scheme
        if scheme not in PORTS:
            raise self.forbid(f"its playlist reaches for {scheme or 'a path'}:, which is not HTTP")
        if url in self._playlists:
            text, final = self.read_text(url)
            return io.BytesIO(self._read(url, text.decode("utf-8", "replace"), final))
        body = self.body(url, options)
        self._note(url)
        return body if encrypted is None else self._decrypted(body, options)

    def _decrypted(self, body: Body, options: Mapping[str, str]) -> Decrypted:
        try:
            key, start = (bytes.fromhex(options[name]) for name in ("key", "iv"))
            return Decrypted(body, key, start)
        except (KeyError, ValueError):
            body.close()
            raise self.forbid("is encrypted, but not with AES-128") from None

    def _read(self, url: str, text: str, final: str) -> bytes:
        lines = [self._absolute(line, final) for line in text.splitlines()]
        whole = "\n".join(lines) + "\n"
        parsed = _parsed(whole)
        if parsed is None:
            # The demuxer judges the text itself; only its dates are lost.
            return whole.encode()
        if parsed.is_variant:
            more = [*parsed.playlists, *parsed.media, *parsed.iframe_playlists]
            self._playlists |= {one.uri for one in more if one.uri}
        else:
            self._grew |= not parsed.is_endlist
            self._ends[url] = bool(parsed.is_endlist)
            self._dates[url] = {
                segment.uri: (_seconds(segment.current_program_date_time), segment.discontinuity)
                for segment in parsed.segments
                if segment.uri
            }
        return whole.encode()

    def _absolute(self, line: str, base: str) -> str:
        if line and not line.startswith("#"):
            return self._join(base, line.strip())
        if line.startswith("#EXT"):
            return URI.sub(lambda found: f'URI="{self._join(base, found[1])}"', line)
        return line

    def _join(self, base: str, uri: str) -> str:
        joined = urljoin(base, uri)
        scheme = urlsplit(joined).scheme
        if scheme not in PORTS:
            raise self.forbid(f"its playlist reaches for {scheme}:, which is not HTTP")
        return joined

    def _note(self, url: str) -> None:
        for dates in self._dates.values():
            if url in dates:
                date, discontinuity = dates[url]
                if date is not None and (discontinuity or not self._started):
                    self._opened.append(date)
                # Not so for headers and keys, which are in no list of segments.
                self._started = True
                break


def _parsed(text: str) -> m3u8.M3U8 | None:
    # It counts dates on, which may lead it out of the years that it knows.
    for tried in (text, DATE.sub("", text)):
        # Whatever a hostile text does to it.
        with contextlib.suppress(Exception):
            return m3u8.loads(tried)
    return None


def _seconds(date: datetime | None) -> float | None:
    try:
        return None if date is None else plausible(date.timestamp())
    except (OverflowError, ValueError):
        # Local time outside the years that the system knows.
        return None
