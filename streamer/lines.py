"""Format lines for people, and print them on standard error."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

_MAX_LENGTH: Final = 2000


def one_line(text: str) -> str:
    """Make text from files and streams safe to print.

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


def place(error: BaseException) -> str | None:
    """Return file and line where an error was raised, or None when it never was."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return None
    frame, line = frames[-1]
    return f"{Path(frame.f_code.co_filename).name}:{line}"


def reason(error: BaseException) -> str:
    """Return the reason of an error of the system or a parser, without Python's notation."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def unforeseen(error: Exception) -> str:
    """Describe an unexpected exception and its origin in one line."""
    return f"internal: {type(error).__name__} at {place(error)}: {error}"


def report(message: str, *, label: str = "error", style: str = "bold red") -> None:
    """Print ``label: message`` on standard error, coloured on a terminal only.

    Args:
        message: What is wrong.
        label: ``error`` or ``warning``.
        style: Rich style of the label.
    """
    # Created here, not at import: standard error may have been replaced since.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble((f"{label}: ", style), one_line(message)))
