"""Standard output that says in one line why it takes no more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from errno import EBADF
from typing import TYPE_CHECKING, Any, TextIO, cast

from streamer.connectors.sinks.sink import ConsumerGone
from streamer.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "standard output"


@contextmanager
def checked_output() -> Iterator[None]:
    """Stands before ``sys.stdout`` while the context lasts, and flushes it at the end.

    Raises:
        SinkError: It is closed, or takes no more: what was printed is not whole.
        ConsumerGone: The reader left.
    """
    before = sys.stdout
    sys.stdout = cast("TextIO", _Checked(before or _Closed()))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before


def drop_output() -> None:
    """Forgets what standard output did not take, which Python would try again at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Checked:
    """A text file whose errors are the project's own; all else is as there."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with _told():
            return self._file.write(text)

    def flush(self) -> None:
        with _told():
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Closed(io.StringIO):
    """What was closed before the program began."""

    def write(self, text: str, /) -> int:
        raise OSError(EBADF, os.strerror(EBADF))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ConsumerGone(NAME) from error
    except OSError as error:
        raise SinkError(f"{NAME}: not written: {error.strerror}") from error
