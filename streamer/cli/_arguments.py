"""Declare the options that commands share, and check arguments."""

from __future__ import annotations

import functools
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")
]
BrokerOption = Annotated[
    str | None, typer.Option("--broker", metavar="URL", help="kafka://HOST:PORT, or kafkas://….")
]
FrameRateOption = Annotated[
    str | None,
    typer.Option("--frame-rate", metavar="N[/D]", help="For frame numbers and timecodes."),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where it is computed.")
]

_RATE: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}|/[0-9]{1,9})?")


def parse_frame_rate(text: str, option: str) -> Fraction:
    """Read ``25``, ``23.976`` or ``24000/1001`` exactly as written.

    Args:
        text: Frames a second, 1 to 1,000.
        option: The option to name in the error.

    Raises:
        BadParameter: It is not such a number.
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


def is_input(word: str) -> bool:
    """Return whether the first word of a command line is an input rather than a command."""
    return bool(word) and (
        word == "-" or any(mark in word for mark in "./:") or os.path.lexists(word)
    )


def find_dashed_file(words: Sequence[str]) -> str | None:
    """Find an existing file among the words that was parsed as an option, or None."""
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        if word.startswith("-") and word != "-" and "=" not in word and os.path.lexists(word):
            return word
    return None


def add_checks(command: Any) -> None:
    """Make a command check its paths, and name the option of a wrong setting.

    Args:
        command: The click command that typer built.
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
    """Return the option for a setting: by the setting's name, or its section's."""
    section, _, leaf = key.rpartition(".")
    flags = {parameter.name: parameter.opts[-1] for parameter in command.params}
    names = (leaf, leaf.removesuffix("s"), section)
    return next((flags[name] for name in names if name in flags), key)


def _check_paths(parameter: Any) -> None:
    """Make a parameter reject paths that no file can have.

    Args:
        parameter: Of a command that typer built; values that are not text or paths pass.
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


def check_source(source: str) -> str:
    """Reject an empty input, which would stand for the working folder.

    Raises:
        BadParameter: It is empty.
    """
    if not source:
        raise typer.BadParameter("it is empty: give a file, an address, or - for standard input")
    return source
