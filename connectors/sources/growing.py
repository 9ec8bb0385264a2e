"""A file that a recorder is still writing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from connectors.sources.file import check_file

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

POLL_SECONDS = 0.05


class GrowingSource:
    """Reads a file as it grows, like ``tail -f``.

    The demuxer is told that it cannot seek, so it never looks for an index at the end. That
    suits MPEG-TS, fragmented MP4, Matroska and FLV; a plain MP4 has its index at the end and is
    only readable when finished.

    Args:
        path: The file; zero bytes at first is fine.
        idle_timeout: Seconds without growth after which the input has ended.
    """

    def __init__(self, path: Path, idle_timeout: float) -> None:
        self._path = path
        self._idle_timeout = idle_timeout
        # No threading.Event: a signal handler that sets one can meet its lock held below it.
        self._stopped = False
        self._file: FileIO | None = None

    @property
    def name(self) -> str:
        """The path as given."""
        return str(self._path)

    @property
    def live(self) -> bool:
        """A growing file is."""
        return True

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped

    def open(self) -> GrowingSource:
        """Opens the file.

        Returns:
            This object, which is its own byte stream.

        Raises:
            SourceError: As :func:`connectors.sources.file.check_file` says.
        """
        check_file(self._path, may_be_empty=True)
        self._file = self._path.open("rb", buffering=0)
        return self

    def read(self, size: int = -1, /) -> bytes:
        """Waits until the file has grown.

        Args:
            size: At most so many bytes.

        Returns:
            Bytes; empty when stopped, when nothing came for the idle timeout, or when the file
            was cut shorter than what was already read.
        """
        if self._file is None:
            raise ValueError("read before open")
        deadline = time.monotonic() + self._idle_timeout
        while not self._stopped:
            data = self._file.read(size)
            if data:
                return data
            if self._path_shrank() or time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        return b""

    def _path_shrank(self) -> bool:
        try:
            return self._path.stat().st_size < self._position()
        except OSError:
            # Renamed or removed: the open file may still be written to until it falls idle.
            return False

    def _position(self) -> int:
        return 0 if self._file is None else self._file.tell()

    def seekable(self) -> bool:
        """Never."""
        return False

    def stop(self) -> None:
        """Wakes a waiting read, which then ends the input."""
        self._stopped = True

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
