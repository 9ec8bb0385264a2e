"""Counts the bytes that a demuxer takes from a stream, and gives the first ones again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from streamer.connectors.sources.source import ByteStream, SeekableStream

HEAD_BYTES: Final = 4096


MOST_KEPT: Final = 64 << 20


class CountingReader:
    """Stands between a byte stream and the demuxer.

    Args:
        stream: Where the bytes come from.

    Attributes:
        count: Bytes taken from it.
        head: The first of them, at most 4,096.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.count = 0
        self.head = b""
        self._kept: bytearray | None = None
        self._again = io.BytesIO()

    def keep(self) -> None:
        """Keeps what is read from here on, for :meth:`rewind`; 64 MiB at most."""
        self._kept = None if self.seekable() else bytearray()

    def forget(self) -> None:
        """Keeps nothing any more."""
        self._kept = None

    def rewind(self) -> bool:
        """Gives what was kept again before anything else.

        Returns:
            False where it is not kept, or was too much.
        """
        if self.seekable():
            self.seek(0)
            return True
        if self._kept is None:
            return False
        self._again, self._kept = io.BytesIO(self._kept), None
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Reads on.

        Args:
            size: At most so many bytes.

        Returns:
            What the stream gave; empty at its end.
        """
        if data := self._again.read(size):
            return data
        data = self._stream.read(size)
        if self.count < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - self.count]
        self.count += len(data)
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > MOST_KEPT:
                self._kept = None
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Goes to another byte, where the stream is seekable.

        Args:
            offset: Bytes.
            whence: 0 from the start, 1 from here, 2 from the end.
        """
        return cast("SeekableStream", self._stream).seek(offset, whence)

    def tell(self) -> int:
        """The offset of the next byte, where the stream is seekable."""
        return cast("SeekableStream", self._stream).tell()

    def seekable(self) -> bool:
        """As the stream is."""
        return self._stream.seekable()
