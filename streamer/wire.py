"""Write exact times as JSON, and say in words what is wrong with JSON that was read."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from streamer.timeline import Timestamp

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Ratio = Annotated[str, Field(pattern=r"^-?[0-9]{1,40}/[1-9][0-9]{0,39}$")]
"""A fraction as ``num/den``; its length is bounded, since it may be untrusted."""


def ratio(value: Fraction) -> str:
    """Format a fraction as ``num/den``."""
    return f"{value.numerator}/{value.denominator}"


class WireInstant(BaseModel):
    """Encode an `Timestamp`.

    Attributes:
        pts: Ticks.
        time_base: Seconds a tick.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pts: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    time_base: Ratio

    @classmethod
    def of(cls, instant: Timestamp) -> Self:
        """Encode an instant."""
        return cls(pts=instant.pts, time_base=ratio(instant.time_base))

    def instant(self) -> Timestamp:
        """Decode it."""
        return Timestamp(self.pts, Fraction(self.time_base))


_WORDS = {
    "bool": "true or false",
    "dict": "a table",
    "finite": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "a table",
    "string": "text",
    "tuple": "a list",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_OTHERS = {
    "extra_forbidden": "is unknown",
    "json_invalid": "is not valid JSON",
    "missing": "is missing",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "holds characters that are not allowed there",
}


def in_words(detail: ErrorDetails) -> str:
    """Say what is wrong with one value.

    Args:
        detail: As pydantic reports it.

    Returns:
        A phrase such as ``must be at least 1``, which follows what the value is called.
    """
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in {"value_error", "assertion_error"}:
        return str(context.get("error", detail["msg"]))
    if kind in _OTHERS:
        return _OTHERS[kind]
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"must be {word} {context[bound]}"
    if kind == "string_too_short":
        return f"must have at least {context['min_length']} characters"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    if "expected" in context:
        return f"must be {context['expected']}"
    return f"must be {_WORDS.get(kind.partition('_')[0], 'something else')}"
