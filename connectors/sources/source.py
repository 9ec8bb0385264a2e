"""What every source of bytes offers to the decoder."""

from __future__ import annotations

from typing import Protocol


class ByteStream(Protocol):
    """Bytes that can only be read forwards, as a demuxer reads them."""

    def read(self, size: int = -1, /) -> bytes:
        """Waits for at least one byte; an empty result is the end of the input.

        Args:
            size: At most so many bytes.
        """

    def seekable(self) -> bool:
        """Whether the demuxer may jump."""


class Source(Protocol):
    """Where a stream comes from; opened once, by one decoder."""

    @property
    def name(self) -> str:
        """For people: never holds a password or a token."""

    @property
    def live(self) -> bool:
        """Bytes may still be made while they are read: length unknown, delay matters."""

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""

    def open(self) -> str | ByteStream:
        """Checks the input and hands it to the demuxer.

        Returns:
            A URL for the demuxer, or an object that it reads from.

        Raises:
            SourceError: The input is missing, a folder, unreadable or empty.
        """

    def stop(self) -> None:
        """Makes the running or next read end the input; safe from any thread or handler."""

    def close(self) -> None:
        """Frees what :meth:`open` took; may be called twice."""
