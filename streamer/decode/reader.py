"""Counts the bytes that a demuxer takes from a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from connectors.sources.source import ByteStream, SeekableStream

HEAD_BYTES: Final = 4096


class CountingReader:
    """Stands between a byte stream and the demuxer.

    Args:
        stream: Where the bytes come from.

    Attributes:
        count: Bytes read.
        head: The first of them, at most 4,096.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.count = 0
        self.head = b""

    def read(self, size: int = -1, /) -> bytes:
        """Reads on.

        Args:
            size: At most so many bytes.

        Returns:
            What the stream gave; empty at its end.
        """
        data = self._stream.read(size)
        if self.count < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - self.count]
        self.count += len(data)
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
