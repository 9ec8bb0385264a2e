"""MPEG-DASH (ISO/IEC 23009-1), live and on demand."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from connectors.sources.playlist import Fetcher
from connectors.sources.source import Opening
from connectors.sources.web import PORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sources.source import ByteStream
    from connectors.sources.web import Client
    from streamer.config.sections import SourceSection

TYPES: Final = frozenset({"application/dash+xml"})
DYNAMIC: Final = re.compile(rb"""<MPD\b[^>]*\btype\s*=\s*["']dynamic["']""")


def recognises(content_type: str, path: str) -> bool:
    """Whether an answer is a DASH presentation.

    Args:
        content_type: Of the answer.
        path: Of its address.
    """
    return content_type in TYPES or path.lower().endswith(".mpd")


class DashPlaylist(Fetcher):
    """Gives FFmpeg's DASH demuxer its description and segments.

    Args:
        client: Knows login, certificates and deadlines.
        settings: Limits.
    """

    def __init__(self, client: Client, settings: SourceSection) -> None:
        super().__init__(client, settings)
        self._url = ""
        self.live = False
        self.ended = True

    def opening(self, url: str) -> Opening:
        """How the demuxer reads it.

        Args:
            url: Of the description.
        """
        self._url = url
        return Opening(
            url,
            format="dash",
            formats=frozenset({"dash", "webvtt"}),
            protocols=("http", "https"),
            options={"allowed_extensions": "ALL"},
            fetch=self.fetch,
            open_seconds=self._settings.open_seconds,
            stall_seconds=self._settings.stall_seconds,
        )

    def wallclock(self) -> float | None:
        """The description gives no date for a timestamp that the demuxer would pass on."""
        return None

    def fetch(self, url: str, _: int, options: Mapping[str, str]) -> ByteStream:
        """Opens the description or a segment.

        Args:
            url: Absolute.
            options: The demuxer's.

        Raises:
            SourceError: It may not or cannot be had.
        """
        scheme = urlsplit(url).scheme
        if scheme not in PORTS:
            raise self.forbid(f"its playlist reaches for {scheme or 'a path'}:, which is not HTTP")
        if url == self._url:
            text, _final = self.read_text(url)
            self.live = DYNAMIC.search(text[:65536]) is not None
            return io.BytesIO(text)
        return self.body(url, options)
