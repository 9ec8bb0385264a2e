"""Files on disk: finished, growing, and open file objects."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import stat
import threading
import time
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import (
    SourceEmpty,
    SourceError,
    SourceIsFolder,
    SourceNotFound,
    SourcePermission,
    SourceReplaced,
)

if TYPE_CHECKING:
    from io import FileIO

PIECE: Final = 64 << 10
LEAST: Final = 4 << 10
"""A shorter second piece might be padding alone, which says nothing."""
POLL_SECONDS = 0.05
ROTATION_SECONDS = 1.0
"""After a file of that name is another one, the old one may still get its last bytes."""


@dataclass(frozen=True, slots=True)
class FileFingerprint:
    """Identify a file by a piece near its start.

    A file that grows keeps it, and so does a copy elsewhere; another recording of that name has
    other bytes there. Recorders of Matroska and FLV rewrite their header at the end, so the
    piece lies behind the first 64 KiB as soon as there is enough.

    Attributes:
        offset: Of its first byte.
        length: In bytes, at most 64 KiB.
        digest: SHA-256 in hexadecimal digits.
        size: Of the whole file then, in bytes.
    """

    offset: int
    length: int
    digest: str
    size: int

    @classmethod
    def of(cls, descriptor: int) -> Self:
        """Read it from an open file, whose position stays.

        Raises:
            OSError: The file cannot be read.
        """
        size = os.fstat(descriptor).st_size
        offset = PIECE if size >= PIECE + LEAST else 0
        data = os.pread(descriptor, min(PIECE, size - offset), offset)
        return cls(offset, len(data), hashlib.sha256(data).hexdigest(), size)

    def matches(self, path: Path) -> bool:
        """Say whether a file may be this one: the same piece, and no shorter than it was."""
        try:
            # A pipe would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size < self.size:
                return False
            data = os.pread(descriptor, self.length, self.offset)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return hashlib.sha256(data).hexdigest() == self.digest


def check_file(path: Path, *, may_be_empty: bool = False) -> os.stat_result:
    """Check a path before the demuxer does, whose errors say less.

    Args:
        path: A regular file or a named pipe.
        may_be_empty: A file that is about to be written is no mistake.

    Returns:
        What the system knows about the path.

    Raises:
        SourceNotFound: There is nothing.
        SourceIsFolder: There is a folder.
        SourcePermission: It may not be read.
        SourceEmpty: It has zero bytes.
        SourceError: It is a device or a socket, or cannot be examined.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise SourceIsFolder(f"{path}: is a folder; give a media file")
        if stat.S_ISFIFO(found.st_mode):
            return found
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(f"{path}: is neither a file nor a pipe")
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise SourceNotFound(f"{path}: no such file") from None
    except PermissionError:
        raise SourcePermission(f"{path}: may not be read") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if found.st_size == 0 and not may_be_empty:
        raise SourceEmpty(f"{path}: has zero bytes")
    return found


class FileSource(SourceBase):
    """Read a finished file through the demuxer's own file access, which may seek.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), live=False, endless=False)
        self._path = path
        self._fingerprint: FileFingerprint | None = None

    def open(self) -> Opening:
        """Check the file.

        Returns:
            A ``file:`` URL, so that no name can be taken for another protocol.

        Raises:
            SourceError: As :func:`check_file` says.
        """
        check_file(self._path)
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            self._fingerprint = FileFingerprint.of(file.fileno())
        return Opening(f"file:{self._path.absolute()}", protocols=("file",))

    def fingerprint(self) -> FileFingerprint | None:
        """Return the fingerprint from when the file was opened."""
        return self._fingerprint

    def matches(self, known: FileFingerprint) -> bool:
        """Compare the file that has the name."""
        return known.matches(self._path)


class ObjectSource(SourceBase):
    """Read an open binary file object of the caller, which stays open.

    Args:
        file: Has ``read``, and ``seek`` and ``tell`` where it can seek.
        name: For messages; None takes the object's own.
        live: The end of the data is a lost connection.
    """

    def __init__(self, file: BinaryIO, name: str | None = None, *, live: bool = False) -> None:
        own = getattr(file, "name", None) if name is None else name
        super().__init__(own if isinstance(own, str) else "file object", live=live, endless=live)
        self._file = file
        self._fault: SourceError | None = None

    @property
    def replays(self) -> bool:
        """What was read from an object is not read again."""
        return False

    def open(self) -> Opening:
        """Return this object, which is its own byte stream."""
        return Opening(self)

    def fault(self) -> SourceError | None:
        """Return the error that the object raised, if it did."""
        return self._fault

    def seekable(self) -> bool:
        """Say whether the object can seek."""
        try:
            return bool(self._file.seekable())
        except Exception:  # noqa: BLE001  (any object that has read will do)
            return False

    def read(self, size: int = -1, /) -> bytes:
        """Read at most ``size`` bytes; an error of the object ends the input."""
        if self._stopped or self._fault is not None:
            return b""
        try:
            data = self._file.read(size)
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"read() gave {type(data).__name__}, not bytes; open it with 'rb'")
        except Exception as error:  # noqa: BLE001  (it must not cross the demuxer)
            if not self._stopped:
                named = SourceError(f"{self.name}: {error}")
                self._fault = error if isinstance(error, SourceError) else named
            return b""
        return bytes(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to another byte."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._file.tell()


class FollowedSource(SourceBase):
    """Read what another program still writes, until the end, a stop or a long pause.

    Args:
        name: For messages; nothing secret.
        idle_timeout: Seconds without a byte after which the input has ended; None waits on.
    """

    def __init__(self, name: str, idle_timeout: float | None) -> None:
        super().__init__(name, live=True, endless=False)
        self._idle_timeout = math.inf if idle_timeout is None else idle_timeout
        self._over = False

    def read(self, size: int = -1, /) -> bytes:
        """Wait for bytes.

        Args:
            size: At most so many.

        Returns:
            Bytes; empty at the end, when stopped, and after the idle timeout, and then always.
        """
        deadline = time.monotonic() + self._idle_timeout
        while not (self._stopped or self._over):
            left = deadline - time.monotonic()
            data = self._next(size, max(0.0, left))
            if data:
                return data
            # Demuxers ask again at the end, and would wait as long again.
            self._over = data is not None or left <= 0
        return b""

    @abstractmethod
    def _next(self, size: int, left: float) -> bytes | None:
        """Wait a moment, at most the seconds left; None when nothing has come."""

    def seekable(self) -> bool:
        """Return False."""
        return False


class GrowingSource(FollowedSource):
    """Read a file as it grows, like ``tail -f``.

    The demuxer is told that it cannot seek, so it never looks for an index at the end. That
    suits MPEG-TS, fragmented MP4, Matroska and FLV; a plain MP4 has its index at the end and is
    only readable when finished.

    When the file is cut short or another one takes its name, the old one is read to its end and
    the source ends with an error; the next connection reads the new one from its start.

    Args:
        path: The file; zero bytes at first is fine.
        idle_timeout: Seconds without growth after which the input has ended.
    """

    def __init__(self, path: Path, idle_timeout: float) -> None:
        super().__init__(str(path), idle_timeout)
        self._path = path
        self._file: FileIO | None = None
        # Another thread may ask for the fingerprint while this one closes.
        self._guard = threading.Lock()
        self._fingerprint: FileFingerprint | None = None
        self._fault: SourceError | None = None
        self._replaced_at: float | None = None

    def open(self) -> Opening:
        """Open the file.

        Returns:
            This object, which is its own byte stream.

        Raises:
            SourceError: As :func:`streamer.connectors.sources.file.check_file` says.
        """
        check_file(self._path, may_be_empty=True)
        self._file = self._path.open("rb", buffering=0)
        return Opening(self)

    def fault(self) -> SourceError | None:
        """Return the error where the file was replaced or cut short."""
        return self._fault

    def fingerprint(self) -> FileFingerprint | None:
        """Return the fingerprint of the open file; the last one once it is closed."""
        with self._guard:
            if self._file is not None and not self._file.closed:
                with contextlib.suppress(OSError):
                    self._fingerprint = FileFingerprint.of(self._file.fileno())
            return self._fingerprint

    def matches(self, known: FileFingerprint) -> bool:
        """Compare the file that has the name."""
        return known.matches(self._path)

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
        """Close the file."""
        self.fingerprint()
        with self._guard:
            if self._file is not None:
                self._file.close()
