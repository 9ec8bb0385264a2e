"""Exact times in JSON: what saved states and records of shots have in common."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from streamer.timeline import Instant

Ratio = Annotated[str, Field(pattern=r"^-?[0-9]{1,40}/[1-9][0-9]{0,39}$")]
"""A fraction as ``num/den``; bounded, since it may come from elsewhere."""


def ratio(value: Fraction) -> str:
    """Writes a fraction as ``num/den``."""
    return f"{value.numerator}/{value.denominator}"


class WireInstant(BaseModel):
    """An `Instant`.

    Attributes:
        pts: Ticks.
        time_base: Seconds a tick.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pts: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    time_base: Ratio

    @classmethod
    def of(cls, instant: Instant) -> Self:
        """Writes an instant."""
        return cls(pts=instant.pts, time_base=ratio(instant.time_base))

    def instant(self) -> Instant:
        """Reads it back."""
        return Instant(self.pts, Fraction(self.time_base))
