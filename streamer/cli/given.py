"""What several commands check of their arguments."""

from __future__ import annotations

import functools
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


def names_input(word: str) -> bool:
    """Say whether a word that stands where a command should is an input to segment."""
    return bool(word) and (
        word == "-" or any(mark in word for mark in "./:") or os.path.lexists(word)
    )


def dashed_file(words: Sequence[str]) -> str | None:
    """Find a file among the words that was taken for an option; None when there is none."""
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        if word.startswith("-") and word != "-" and "=" not in word and os.path.lexists(word):
            return word
    return None


def tidy(command: Any) -> None:
    """Have a command check its paths and name the option that gives a setting a wrong value.

    Args:
        command: What typer made.
    """
    for parameter in command.params:
        _check_paths(parameter)
    before = command.callback
    if before is None:
        return

    @functools.wraps(before)
    def call(*arguments: Any, **values: Any) -> Any:
        from streamer.errors import ConfigError

        try:
            return before(*arguments, **values)
        except ConfigError as error:
            if error.option is None:
                raise
            key, reason = error.option
            option = f"'{_option(command, key)}'" if key else None
            raise typer.BadParameter(reason, param_hint=option) from error

    command.callback = call


def _option(command: Any, key: str) -> str:
    """Find the option that stands for a setting: by the setting's name, or its section's."""
    section, _, leaf = key.rpartition(".")
    flags = {parameter.name: parameter.opts[-1] for parameter in command.params}
    names = (leaf, leaf.removesuffix("s"), section)
    return next((flags[name] for name in names if name in flags), key)


def _check_paths(parameter: Any) -> None:
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
