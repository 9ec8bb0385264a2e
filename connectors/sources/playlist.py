"""What HLS and DASH have in common: a demuxer that names addresses, fetched here."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from streamer.connectors.sources.web import Body, Client
from streamer.errors import (
    SourceError,
    SourceForbidden,
    SourceRefused,
    SourceStalled,
    SourceUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamer.config.sections import SourceSection

ATTEMPTS: Final = 3
PAUSE_SECONDS: Final = 0.25


class Fetcher:
    """Opens what a demuxer asks for, over HTTP only and within limits.

    Args:
        client: Knows login, certificates and deadlines.
        settings: Limits.
    """

    def __init__(self, client: Client, settings: SourceSection) -> None:
        self._client, self._settings = client, settings
        self.fault: SourceError | None = None

    def read_text(self, url: str) -> tuple[bytes, str]:
        """Reads a playlist whole.

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
        """Opens a piece of media.

        Args:
            url: Where it is.
            options: The demuxer's, which hold the range of bytes.

        Raises:
            SourceError: It cannot be had.
        """
        first = int(options.get("offset", 0) or 0)
        end = int(options.get("end_offset", 0) or 0)
        return self._blamed(lambda: Body(self._client, url, None, first, end or None))

    def forbid(self, reason: str) -> SourceForbidden:
        """Ends the input for what its playlist asks.

        Args:
            reason: A few words.
        """
        error = SourceForbidden(f"{self._client.name}: {reason}")
        self.fault = error
        return error

    def _read_text(self, url: str) -> tuple[bytes, str]:
        most, wait = self._settings.max_playlist_bytes, self._settings.stall_seconds
        deadline = time.monotonic() + wait
        parts: list[bytes] = []
        size = 0
        with closing(self._blamed(lambda: Body(self._client, url))) as body:
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

    def _blamed(self, opens: Callable[[], Body]) -> Body:
        # The demuxer goes on to the next piece after an error, so the reason is kept.
        try:
            return opens()
        except (SourceForbidden, SourceRefused) as error:
            self.fault = error
            raise
