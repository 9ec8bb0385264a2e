"""Makes a stream's sources, one for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.connectors.sources.registry import open_source

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.source import Source


class Connector:
    """A location that can be connected again and again.

    Args:
        location: As `open_source` takes it.
        settings: How it is read.
        first: A source that was made already, for the first connection.
    """

    def __init__(self, location: str, settings: SourceSection, first: Source | None = None) -> None:
        self._location, self._settings, self._first = location, settings, first

    def __call__(self) -> Source:
        """The source of the next connection, not opened yet.

        Raises:
            SourceError: The location cannot be read.
        """
        source, self._first = self._first, None
        return open_source(self._location, self._settings) if source is None else source
