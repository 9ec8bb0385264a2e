"""What every source of media offers to the decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamer.connectors.sources.file import FileFingerprint
    from streamer.errors import SourceError


class ByteStream(Protocol):
    """Bytes that can be read forwards, as a demuxer reads them."""

    def read(self, size: int = -1, /) -> bytes:
        """Waits for at least one byte; an empty result is the end of the input.

        Args:
            size: At most so many bytes.
        """

    def seekable(self) -> bool:
        """Whether the demuxer may jump: such a stream is a :class:`SeekableStream`."""


class SeekableStream(ByteStream, Protocol):
    """Bytes that can be read in any order."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Goes to another byte.

        Args:
            offset: Bytes.
            whence: 0 from the start, 1 from here, 2 from the end.
        """

    def tell(self) -> int:
        """The offset of the next byte."""


Fetch = Callable[[str, int, Mapping[str, str]], ByteStream]
"""Opens an address that a playlist names: address, flags, the demuxer's options."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a demuxer is given to open one input.

    Attributes:
        target: An address for the demuxer, or an object that it reads from.
        format: The demuxer to use; None lets it find out among the containers.
        formats: Demuxers that are allowed besides the containers (playlists, protocols).
        protocols: What the demuxer may reach by itself, and nothing else.
        options: Further options of the demuxer.
        fetch: Opens what a playlist names; None leaves that to the demuxer.
        open_seconds: By when the first streams have to be known. None: opening never waits
            where :meth:`Source.stop` could not end it.
        stall_seconds: By when, after the last one, the next packet has to come. None as above.
    """

    target: str | ByteStream
    format: str | None = None
    formats: frozenset[str] = frozenset()
    protocols: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    fetch: Fetch | None = None
    open_seconds: float | None = None
    stall_seconds: float | None = None


class Source(Protocol):
    """One connection to where a stream comes from; opened once, by one decoder.

    To connect again, make a new source for the same location.
    """

    @property
    def name(self) -> str:
        """For people: never holds a user name, a password or a token."""

    @property
    def live(self) -> bool:
        """Bytes may still be made while they are read: length unknown, delay matters."""

    @property
    def endless(self) -> bool:
        """The end of the data is a fault: somebody should connect again."""

    @property
    def replays(self) -> bool:
        """A new source for the same location gives the same data from the beginning."""

    @property
    def recovers(self) -> bool:
        """What keeps it from being opened may pass: a server or a device comes back."""

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""

    def open(self) -> Opening:
        """Checks the input.

        Returns:
            How the demuxer reaches it.

        Raises:
            SourceError: The input is missing, a folder, unreadable, empty or unreachable.
        """

    def fault(self) -> SourceError | None:
        """Why the data ended or could not be opened, when the source knows and it is a fault."""

    def wallclock(self) -> float | None:
        """When the input's first moment was, in seconds since the Unix epoch, if it says so."""

    def fingerprint(self) -> FileFingerprint | None:
        """What the open input begins with; None where it cannot be known again by that."""

    def matches(self, known: FileFingerprint) -> bool:
        """Whether the input, which need not be open, may be the one that had this beginning."""

    def stop(self) -> None:
        """Makes the running or next read end the input; safe from any thread or handler."""

    def close(self) -> None:
        """Frees what :meth:`open` took; may be called twice."""


class SourceBase:
    """What most sources answer alike.

    Args:
        name: For people; nothing secret.
        live: See :class:`Source`.
        endless: See :class:`Source`.
    """

    def __init__(self, name: str, *, live: bool, endless: bool) -> None:
        self._name = name
        self._live = live
        self._endless = endless
        # No threading.Event: a signal handler that sets one can meet its lock held below it.
        self._stopped = False

    @property
    def name(self) -> str:
        """For people: never holds a user name, a password or a token."""
        return self._name

    @property
    def live(self) -> bool:
        """Whether bytes may still be made while they are read."""
        return self._live

    @property
    def endless(self) -> bool:
        """Whether the end of the data is a fault."""
        return self._endless

    @property
    def replays(self) -> bool:
        """What has an end can be read again, unless it is a pipe."""
        return not self._endless

    @property
    def recovers(self) -> bool:
        """A feed is sent by somebody else; what has an end mostly lies here."""
        return self._endless

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped

    def fault(self) -> SourceError | None:
        """Nothing that the demuxer does not notice itself."""
        return None

    def wallclock(self) -> float | None:
        """The source itself knows none."""
        return None

    def fingerprint(self) -> FileFingerprint | None:
        """Only files are known again."""
        return None

    def matches(self, known: FileFingerprint) -> bool:
        """Nothing speaks against it."""
        return True

    def stop(self) -> None:
        """Marks the input as ended; who reads looks at it often."""
        self._stopped = True

    def close(self) -> None:
        """Nothing is held."""
