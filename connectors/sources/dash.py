"""MPEG-DASH (ISO/IEC 23009-1), live and on demand, as playlists that FFmpeg can play."""

from __future__ import annotations

import io
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from streamer.connectors.sources.hls import HlsPlaylists
from streamer.connectors.sources.mpd import Presentation, Track, parse
from streamer.connectors.sources.segments import NotDash, NotYet, Part, Piece
from streamer.errors import NotMedia, SourceNotFound, SourceUnreachable, SourceUnsupported
from streamer.timeline import plausible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.connectors.sources.source import ByteStream, Opening
    from streamer.connectors.sources.web import Client

TYPES: Final = frozenset({"application/dash+xml"})
PLACE: Final = "http://dash.invalid/"
"""Where the playlists made here seem to be; never asked for (RFC 2606)."""
FRESH_SECONDS: Final = 0.5
LATE_SEGMENTS: Final = 2
"""How much later than by the clock a segment may come, in its own length."""
PAUSE_SECONDS: Final = 0.1


def recognises(content_type: str, path: str) -> bool:
    """Say whether an answer is a DASH description.

    Args:
        content_type: Of the answer.
        path: Of its address.
    """
    return content_type in TYPES or path.lower().endswith(".mpd")


class DashPlaylist(HlsPlaylists):
    """Write a description's segments as HLS playlists, for a demuxer that most FFmpegs have.

    The best picture is played, and one sound for each language. Where a live presentation says
    since when it is there, segments carry dates.

    Args:
        client: Knows login, certificates and deadlines.
        max_playlist_bytes: Largest description that is read.
    """

    def __init__(self, client: Client, *, max_playlist_bytes: int = 4 << 20) -> None:
        super().__init__(client, max_playlist_bytes=max_playlist_bytes)
        self._url = ""
        self._read_at = -math.inf
        self._found: Presentation | None = None
        # Track → address of each segment in the playlist before → its number.
        self._numbers: dict[int, dict[str, int]] = {}
        # Track → address of each segment that nobody says is there → its seconds.
        self._counted: dict[int, dict[str, float]] = {}

    def opening(self, url: str) -> Opening:
        """Describe the presentation to the demuxer.

        Args:
            url: Of the description.
        """
        self._url = url
        return super().opening(f"{PLACE}all.m3u8")

    def read_text(self, url: str) -> tuple[bytes, str]:
        """Make a playlist out of the description as it is now.

        Args:
            url: One of the addresses made up here.

        Raises:
            SourceError: The description cannot be had, played or understood.
        """
        found = self._presentation()
        name = url.removeprefix(PLACE).removesuffix(".m3u8")
        number = int(name) if name.isdigit() else -1
        known = 0 <= number < len(found.tracks)
        return (self._media(number, found) if known else _choice(found)).encode(), url

    def fetch(self, url: str, flags: int, options: Mapping[str, str]) -> ByteStream:
        """Open a playlist or a segment, which may come later than by the clock.

        Args:
            url: Absolute.
            flags: Of the demuxer.
            options: The demuxer's.

        Raises:
            SourceError: It may not or cannot be had.
        """
        if self.fault is not None:
            # The demuxer would go on, and wait for the next segment as long as for this one.
            raise self.fault
        asked = time.monotonic()
        while True:
            try:
                return super().fetch(url, flags, options)
            except SourceNotFound as error:
                waited = time.monotonic() - asked
                if self._client.stopped or waited > self._max_wait(url):
                    self.fault = error
                    raise
            if self._is_over(url):
                # The demuxer asks for the playlist next, which says that this was the end.
                return io.BytesIO()
            time.sleep(PAUSE_SECONDS)

    def _max_wait(self, url: str) -> float:
        lengths = (counted[url] for counted in self._counted.values() if url in counted)
        return min(LATE_SEGMENTS * next(lengths, 0.0), self._client.stall_seconds / 2)

    def _is_over(self, url: str) -> bool:
        found = self._presentation()
        parts = (part for track in found.tracks for part in track.parts)
        return not found.live and all(piece.url != url for part in parts for piece in part.segments)

    def _presentation(self) -> Presentation:
        now = time.monotonic()
        fresh = self._found is not None and not self._found.live
        if self._found is None or not (fresh or now - self._read_at < FRESH_SECONDS):
            text, final = super().read_text(self._url)
            try:
                self._found = parse(text, final, time.time())
            except NotYet as error:
                self.fault = SourceUnreachable(f"{self._client.name}: {error}")
                raise self.fault from None
            except NotDash as error:
                encrypted = "encrypted" in str(error)
                kind = SourceUnsupported if encrypted else NotMedia
                self.fault = kind(f"{self._client.name}: {error}")
                raise self.fault from None
            self._read_at = now
        return self._found

    def _media(self, number: int, found: Presentation) -> str:
        track = found.tracks[number]
        pieces = [piece for part in track.parts for piece in part.segments]
        known = self._numbers.get(number, {})
        first = max(known.values(), default=-1) + 1
        for index, piece in enumerate(pieces):
            if piece.url in known and piece.span is None:
                first = known[piece.url] - index
                break
        self._numbers[number] = {piece.url: first + k for k, piece in enumerate(pieces)}
        self._counted[number] = {piece.url: piece.seconds for piece in pieces if piece.counted}
        longest = max((piece.seconds for piece in pieces), default=1.0)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            f"#EXT-X-TARGETDURATION:{max(1, math.ceil(longest))}",
            f"#EXT-X-MEDIA-SEQUENCE:{max(0, first)}",
        ]
        for index, part in enumerate(track.parts):
            lines += ["#EXT-X-DISCONTINUITY"] if index else []
            lines += _part(part)
        return "\n".join([*lines, *([] if found.live else ["#EXT-X-ENDLIST"]), ""])


def _choice(found: Presentation) -> str:
    lines = ["#EXTM3U", "#EXT-X-VERSION:7"]
    picture = found.tracks[0]
    alone = picture.kind != "video" or len(found.tracks) == 1
    for number, track in enumerate(found.tracks):
        if track is not picture and not alone:
            lines.append(_sound(number, track))
    beside = "" if alone else ',AUDIO="sound"'
    lines.append(f"#EXT-X-STREAM-INF:BANDWIDTH={max(1, picture.bandwidth)}{beside}")
    return "\n".join([*lines, f"{PLACE}0.m3u8", ""])


def _sound(number: int, track: Track) -> str:
    default = "YES" if number == 1 else "NO"
    safe = "".join(letter for letter in track.language if letter.isalnum() or letter == "-")
    language = f',LANGUAGE="{safe}"' if safe else ""
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="{number}"{language},'
        f'DEFAULT={default},AUTOSELECT=YES,URI="{PLACE}{number}.m3u8"'
    )


def _part(part: Part) -> list[str]:
    lines = []
    if part.header is not None and part.segments:
        lines.append(f'#EXT-X-MAP:URI="{_uri(part.header)}"{_range(part.header)}')
    for piece in part.segments:
        if (date := plausible(piece.date)) is not None:
            at = datetime.fromtimestamp(date, UTC).isoformat(timespec="milliseconds")
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{at}")
        lines.append(f"#EXTINF:{piece.seconds:.6f},")
        if piece.span is not None:
            lines.append(f"#EXT-X-BYTERANGE:{piece.span[1]}@{piece.span[0]}")
        lines.append(_uri(piece))
    return lines


def _uri(piece: Piece) -> str:
    # What would end a line or a quoted value is no part of an address.
    return piece.url.replace('"', "%22").replace("\n", "").replace("\r", "")


def _range(piece: Piece) -> str:
    return "" if piece.span is None else f',BYTERANGE="{piece.span[1]}@{piece.span[0]}"'
