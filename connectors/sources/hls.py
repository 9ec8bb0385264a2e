"""HTTP Live Streaming (RFC 8216), live and on demand, with AES-128."""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import m3u8
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from streamer.connectors.sources.source import Opening
from streamer.connectors.sources.web import PORTS, Body, Client
from streamer.errors import (
    SourceError,
    SourceForbidden,
    SourceRefused,
    SourceStalled,
    SourceUnreachable,
)
from streamer.timeline import plausible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from streamer.connectors.sources.source import ByteStream

ATTEMPTS: Final = 3
PAUSE_SECONDS: Final = 0.25
BLOCK_BITS: Final = 128
PIECE: Final = 16384
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


class Fetcher:
    """Open what a demuxer asks for, over HTTP only and within limits.

    Args:
        client: Holds login, certificates and deadlines.
        max_playlist_bytes: Largest playlist that is read.
    """

    def __init__(self, client: Client, *, max_playlist_bytes: int = 4 << 20) -> None:
        self._client, self._max_playlist_bytes = client, max_playlist_bytes
        self.fault: SourceError | None = None

    def read_text(self, url: str) -> tuple[bytes, str]:
        """Read a playlist whole.

        Args:
            url: Where it is.

        Returns:
            It, and the address that redirections led to.

        Raises:
            SourceError: It cannot be had in time, or is too large.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._read_text(url)
            except SourceUnreachable:
                if attempt == ATTEMPTS - 1 or self._client.stopped:
                    raise
                time.sleep(PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    def body(self, url: str, options: Mapping[str, str]) -> Body:
        """Open a piece of media.

        Args:
            url: Where it is.
            options: The demuxer's, which hold the range of bytes.

        Raises:
            SourceError: It cannot be had.
        """
        first = int(options.get("offset", 0) or 0)
        end = int(options.get("end_offset", 0) or 0)
        return self._keep_error(lambda: Body(self._client, url, None, first, end or None))

    def forbid(self, reason: str) -> SourceForbidden:
        """End the input for what its playlist asks.

        Args:
            reason: A few words.
        """
        error = SourceForbidden(f"{self._client.name}: {reason}")
        self.fault = error
        return error

    def _read_text(self, url: str) -> tuple[bytes, str]:
        most, wait = self._max_playlist_bytes, self._client.stall_seconds
        deadline = time.monotonic() + wait
        parts: list[bytes] = []
        size = 0
        with closing(self._keep_error(lambda: Body(self._client, url))) as body:
            while data := body.read(65536):
                parts.append(data)
                size += len(data)
                if size > most:
                    raise self.forbid("its playlist is over source.max_playlist_bytes")
                if time.monotonic() > deadline:
                    name = self._client.name
                    raise SourceStalled(f"{name}: its playlist takes longer than {wait:g} s")
            if self._client.stopped:
                raise SourceStalled(f"{self._client.name}: stopped while a playlist was read")
            return b"".join(parts), body.final_url

    def _keep_error(self, opens: Callable[[], Body]) -> Body:
        # The demuxer goes on to the next piece after an error, so the reason is kept.
        try:
            return opens()
        except (SourceForbidden, SourceRefused) as error:
            self.fault = error
            raise


class Decrypted:
    """Gives a stream's bytes in the clear.

    Args:
        stream: Encrypted bytes; closed with this.
        key: 16 bytes.
        start: The initialization vector, 16 bytes.

    Raises:
        ValueError: Key or vector has another length.
    """

    def __init__(self, stream: Body, key: bytes, start: bytes) -> None:
        if len(key) * 8 != BLOCK_BITS or len(start) * 8 != BLOCK_BITS:
            raise ValueError("AES-128 has keys and vectors of 16 bytes")
        self._stream = stream
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(start)).decryptor()
        self._padding = PKCS7(BLOCK_BITS).unpadder()
        self._clear = b""
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Waits for bytes.

        Args:
            size: At most so many.
        """
        while not self._clear and not self._ended:
            data = self._stream.read(PIECE)
            if data:
                self._clear = self._padding.update(self._cipher.update(data))
            else:
                self._ended = True
                self._clear = self._last()
        size = size if size > 0 else len(self._clear)
        given, self._clear = self._clear[:size], self._clear[size:]
        return given

    def _last(self) -> bytes:
        try:
            rest = self._padding.update(self._cipher.finalize())
            return rest + self._padding.finalize()
        except ValueError:
            # Cut short, or not with this key: the demuxer sees what has come and judges that.
            return b""

    def seekable(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Gives the connection up."""
        self._stream.close()


def recognises(content_type: str, path: str) -> bool:
    """Whether an answer is an HLS playlist.

    Args:
        content_type: Of the answer.
        path: Of its address.
    """
    return content_type in TYPES or path.lower().endswith((".m3u8", ".m3u"))


class HlsPlaylists(Fetcher):
    """Give FFmpeg's HLS demuxer playlists and segments, and remember program dates.

    Every address in a playlist is made absolute here, after redirections, and has to be HTTP or
    HTTPS.

    Args:
        client: Knows login, certificates and deadlines.
        max_playlist_bytes: Largest playlist that is read.
    """

    def __init__(self, client: Client, *, max_playlist_bytes: int = 4 << 20) -> None:
        super().__init__(client, max_playlist_bytes=max_playlist_bytes)
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
        """Describe the playlist to the demuxer.

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
            open_seconds=self._client.open_seconds,
            stall_seconds=self._client.stall_seconds,
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
