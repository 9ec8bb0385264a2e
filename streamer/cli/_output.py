"""Report how a command ends: checked standard output, one-line errors, exit codes."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import contextmanager, suppress
from errno import EBADF
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from streamer.connectors.sinks.sink import ConsumerGone
from streamer.errors import SinkError, StreamerError
from streamer.lines import one_line, report

if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE: Final = 2
INTERNAL: Final = 70
INTERRUPTED: Final = 130
_STDOUT: Final = "standard output"


def usage_message(error: Any) -> str:
    """Describe what is wrong with a command line.

    Args:
        error: Raised by typer; a value of a wrong type is described by our own validator.
    """
    details = getattr(error.__cause__, "errors", None)
    if details is not None:
        from streamer.wire import in_words

        error.message = in_words(details()[0])
    said: str = error.format_message()
    return said


def handle(error: BaseException, *, debug: bool = False, json_logs: bool = False) -> int:
    """Report the exception that ended a command.

    Args:
        error: The exception.
        debug: Print the traceback too.
        json_logs: Standard error holds JSON lines: write one more of them.

    Returns:
        The exit code; see `streamer.errors` for the table.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, StreamerError):
        code, message = error.exit_code, str(error) or type(error).__name__
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        # The system refused a file that the user named: not an internal error.
        code, message = StreamerError.exit_code, f"{error.filename}: {error.strerror}"
    else:
        code, message = INTERNAL, f"internal: {type(error).__name__}: {error}"
    if debug and not json_logs:
        traceback.print_exception(error, file=sys.stderr)
    elif code == INTERNAL and not json_logs:
        message += " (run again with --debug for the traceback)"
    report_error(message, code, json_logs=json_logs, error=error if debug else None)
    return code


def report_error(
    message: str, code: int, *, json_logs: bool = False, error: BaseException | None = None
) -> None:
    """Write the line of the error that ends a command.

    Args:
        message: What is wrong.
        code: The exit code.
        json_logs: As a JSON line.
        error: Its traceback goes into the JSON line; None leaves it out.
    """
    if not json_logs:
        report(message)
        return
    from streamer.logs import json_logger

    json_logger().error("error", message=one_line(message), exit_code=code, exc_info=error)


@contextmanager
def checked_output() -> Iterator[None]:
    """Replace ``sys.stdout`` by a checked one while the context lasts, and flush it at the end.

    Raises:
        SinkError: It is closed or cannot be written: the output is incomplete.
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
    """Discard unwritten output, which Python would try to write again at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Checked:
    """Wrap a text file so that write errors are the project's own."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with _project_errors():
            return self._file.write(text)

    def flush(self) -> None:
        with _project_errors():
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Closed(io.StringIO):
    """Stand in for a standard output that was closed before the program began."""

    def write(self, text: str, /) -> int:
        raise OSError(EBADF, os.strerror(EBADF))


@contextmanager
def _project_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ConsumerGone(_STDOUT) from error
    except OSError as error:
        raise SinkError(f"{_STDOUT}: not written: {error.strerror}") from error
