"""What several commands check of their arguments."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

_RATE: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}|/[0-9]{1,9})?")


def frame_rate(text: str, option: str) -> Fraction:
    """Read ``25``, ``23.976`` or ``24000/1001`` exactly as written.

    Args:
        text: Frames a second, 1 to 1,000.
        option: Named in the error.

    Raises:
        BadParameter: It is no such number.
    """
    try:
        rate = Fraction(text) if _RATE.fullmatch(text) else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not 1 <= rate <= 1000:
        raise typer.BadParameter(
            f"{text!r} is no frame rate from 1 to 1000, such as 25 or 24000/1001",
            param_hint=option,
        )
    return rate


def check_paths(parameter: Any) -> None:
    """Have a command's parameter refuse paths that no file can have.

    Args:
        parameter: Of a command that typer made; others than paths stay as they are.
    """
    before: Callable[[Any, Any, Any], Any] | None = parameter.callback

    def usable(context: Any, which: Any, value: Any) -> Any:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(each, Path):
                from streamer.files import unusable

                if wrong := unusable(each):
                    raise typer.BadParameter(wrong, ctx=context, param=which)
            elif isinstance(each, str) and "\0" in each:
                raise typer.BadParameter("holds a NUL character", ctx=context, param=which)
        return value if before is None else before(context, which, value)

    parameter.callback = usable


def given(source: str) -> str:
    """An input has to be named: an empty one would be the working folder.

    Raises:
        BadParameter: It is empty.
    """
    if not source:
        raise typer.BadParameter("it is empty: give a file, an address, or - for standard input")
    return source
