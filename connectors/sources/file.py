"""A finished file on disk."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from streamer.connectors.sources.beginning import Beginning
from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import (
    SourceEmpty,
    SourceError,
    SourceIsFolder,
    SourceNotFound,
    SourcePermission,
)


def check_file(path: Path, *, may_be_empty: bool = False) -> os.stat_result:
    """Says what is wrong with a path before a demuxer does, which would say less.

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
    """Reads a finished file through the demuxer's own file access, which may seek.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), live=False, endless=False)
        self._path = path
        self._beginning: Beginning | None = None

    def open(self) -> Opening:
        """Checks the file.

        Returns:
            A ``file:`` URL, so that no name can be taken for another protocol.

        Raises:
            SourceError: As :func:`check_file` says.
        """
        check_file(self._path)
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            self._beginning = Beginning.of(file.fileno())
        return Opening(f"file:{self._path.absolute()}", protocols=("file",))

    def beginning(self) -> Beginning | None:
        """As it was when the file was opened."""
        return self._beginning

    def continues(self, known: Beginning) -> bool:
        """Compares what has the name."""
        return known.fits(self._path)


class ObjectSource(SourceBase):
    """Read an open binary file object of the caller, which stays open.

    Args:
        file: Has ``read``, and ``seek`` and ``tell`` where it can seek.
    """

    def __init__(self, file: BinaryIO) -> None:
        name = getattr(file, "name", None)
        super().__init__(
            name if isinstance(name, str) else "file object", live=False, endless=False
        )
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
            self._fault = SourceError(f"{self.name}: {error}")
            return b""
        return bytes(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to another byte."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._file.tell()
