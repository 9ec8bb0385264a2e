"""Turns exceptions into one line on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Final

from rich.console import Console
from rich.text import Text

from streamer.errors import StreamerError

USAGE: Final = 2
INTERNAL: Final = 70
INTERRUPTED: Final = 130
_MAX_LENGTH: Final = 2000


def one_line(text: str) -> str:
    """Makes text from files and streams safe to print.

    Args:
        text: Anything.

    Returns:
        One line: white space collapsed, control characters and lone surrogates escaped, at most
        2,000 characters.
    """
    flat = " ".join(text.split())
    safe = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in flat
    )
    return safe if len(safe) <= _MAX_LENGTH else safe[: _MAX_LENGTH - 1] + "…"


def report(message: str, *, label: str = "error", style: str = "bold red") -> None:
    """Prints ``label: message`` on standard error, coloured on a terminal only.

    Args:
        message: What is wrong.
        label: ``error`` or ``warning``.
        style: Rich style of the label.
    """
    # Made here, not at import: standard error may have been replaced since.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble((f"{label}: ", style), one_line(message)))


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
    else:
        code, message = INTERNAL, f"internal: {type(error).__name__}: {error}"
    if json_logs:
        from streamer.logs import json_logger

        json_logger().error(
            "error", message=one_line(message), exit_code=code, exc_info=error if debug else None
        )
        return code
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    elif code == INTERNAL:
        message += " (run again with --debug for the traceback)"
    report(message)
    return code
