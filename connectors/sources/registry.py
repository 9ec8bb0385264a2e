"""From what a user typed to a source."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sources.file import FileSource, check_file
from connectors.sources.growing import GrowingSource
from connectors.sources.stdin import PipeSource

if TYPE_CHECKING:
    from connectors.sources.source import Source
    from streamer.config.sections import SourceSection


def open_source(location: str, settings: SourceSection) -> Source:
    """Chooses the source for a location; bad paths are refused here, before anything is loaded.

    Args:
        location: A path, or ``-`` for standard input.
        settings: With ``follow``, a file is read as it grows and any input ends after
            ``idle_timeout`` seconds of silence.

    Returns:
        A source that has not been opened.

    Raises:
        SourceError: The location cannot be read.
    """
    idle_timeout = settings.idle_timeout if settings.follow else None
    if location == "-":
        return PipeSource(sys.stdin.fileno(), idle_timeout)
    path = Path(location)
    found = check_file(path, may_be_empty=settings.follow)
    if stat.S_ISFIFO(found.st_mode):
        return PipeSource(path, idle_timeout)
    if settings.follow:
        return GrowingSource(path, settings.idle_timeout)
    return FileSource(path)
