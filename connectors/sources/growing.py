"""A file that a recorder is still writing."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from streamer.connectors.sources.beginning import Beginning
from streamer.connectors.sources.file import check_file
from streamer.connectors.sources.followed import FollowedSource
from streamer.connectors.sources.source import Opening
from streamer.errors import SourceReplaced

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

    from streamer.errors import SourceError

POLL_SECONDS = 0.05
ROTATION_SECONDS = 1.0
"""After a file of that name is another one, the old one may still get its last bytes."""


class GrowingSource(FollowedSource):
    """Reads a file as it grows, like ``tail -f``.

    The demuxer is told that it cannot seek, so it never looks for an index at the end. That
    suits MPEG-TS, fragmented MP4, Matroska and FLV; a plain MP4 has its index at the end and is
    only readable when finished.

    When the file is cut short or another one takes its name, the old one is read to its end and
    the source closes with a fault; whoever connects again reads the new one from its start.

    Args:
        path: The file; zero bytes at first is fine.
        idle_timeout: Seconds without growth after which the input has ended.
    """

    def __init__(self, path: Path, idle_timeout: float) -> None:
        super().__init__(str(path), idle_timeout)
        self._path = path
        self._file: FileIO | None = None
        # Who asks for the beginning is not who closes.
        self._guard = threading.Lock()
        self._beginning: Beginning | None = None
        self._fault: SourceError | None = None
        self._replaced_at: float | None = None

    def open(self) -> Opening:
        """Opens the file.

        Returns:
            This object, which is its own byte stream.

        Raises:
            SourceError: As :func:`streamer.connectors.sources.file.check_file` says.
        """
        check_file(self._path, may_be_empty=True)
        self._file = self._path.open("rb", buffering=0)
        return Opening(self)

    def fault(self) -> SourceError | None:
        """Says that the file was replaced or cut short."""
        return self._fault

    def beginning(self) -> Beginning | None:
        """Of the file that was opened, whatever has its name; as it was last, once closed."""
        with self._guard:
            if self._file is not None and not self._file.closed:
                with contextlib.suppress(OSError):
                    self._beginning = Beginning.of(self._file.fileno())
            return self._beginning

    def continues(self, known: Beginning) -> bool:
        """Compares what has the name."""
        return known.fits(self._path)

    def _next(self, size: int, left: float) -> bytes | None:
        if self._file is None:
            raise ValueError("read before open")
        # Asked first: what a recorder wrote before the file was replaced is still read.
        change = self._change(self._file)
        data = self._file.read(size)
        now = time.monotonic()
        if data or not change:
            self._replaced_at = None
        elif self._replaced_at is None:
            self._replaced_at = now
        if data:
            return data
        late = self._replaced_at is not None and now >= self._replaced_at + ROTATION_SECONDS
        if change == "cut short" or late:
            self._fault = SourceReplaced(f"{self.name}: was {change}")
            return b""
        time.sleep(min(POLL_SECONDS, left))
        return None

    def _change(self, file: FileIO) -> str:
        opened = os.fstat(file.fileno())
        if opened.st_size < file.tell():
            return "cut short"
        try:
            named = self._path.stat()
        except OSError:
            # Renamed or removed: the open file may still be written to until it falls idle.
            return ""
        same = (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
        return "" if same else "replaced by another file"

    def close(self) -> None:
        """Closes the file."""
        self.beginning()
        with self._guard:
            if self._file is not None:
                self._file.close()
