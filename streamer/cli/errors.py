"""Turns exceptions into one line on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Any, Final

from streamer.errors import StreamerError
from streamer.lines import one_line, report

USAGE: Final = 2
INTERNAL: Final = 70
INTERRUPTED: Final = 130


def in_own_words(error: Any) -> str:
    """Say what is wrong with a command line.

    Args:
        error: Of typer; values that have a wrong type it describes as its validator does.
    """
    details = getattr(error.__cause__, "errors", None)
    if details is not None:
        from streamer.wire import in_words

        error.message = in_words(details()[0])
    said: str = error.format_message()
    return said


def handle(error: BaseException, *, debug: bool = False, json_logs: bool = False) -> int:
    """Reports what ended a command.

    Args:
        error: What was raised.
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
        # The system refuses a file that somebody named: no error of the program.
        code, message = StreamerError.exit_code, f"{error.filename}: {error.strerror}"
    else:
        code, message = INTERNAL, f"internal: {type(error).__name__}: {error}"
    if debug and not json_logs:
        traceback.print_exception(error, file=sys.stderr)
    elif code == INTERNAL and not json_logs:
        message += " (run again with --debug for the traceback)"
    complain(message, code, json_logs=json_logs, error=error if debug else None)
    return code


def complain(
    message: str, code: int, *, json_logs: bool = False, error: BaseException | None = None
) -> None:
    """Write the line of what ends a command.

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
