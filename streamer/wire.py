"""Encode exact times in JSON, for saved states and records of shots."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from streamer.timeline import Instant

Ratio = Annotated[str, Field(pattern=r"^-?[0-9]{1,40}/[1-9][0-9]{0,39}$")]
"""A fraction as ``num/den``; its length is bounded, since it may be untrusted."""


def ratio(value: Fraction) -> str:
    """Format a fraction as ``num/den``."""
    return f"{value.numerator}/{value.denominator}"


class WireInstant(BaseModel):
    """Encode an `Instant`.

    Attributes:
        pts: Ticks.
        time_base: Seconds a tick.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pts: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    time_base: Ratio

    @classmethod
    def of(cls, instant: Instant) -> Self:
        """Encode an instant."""
        return cls(pts=instant.pts, time_base=ratio(instant.time_base))

    def instant(self) -> Instant:
        """Decode it."""
        return Instant(self.pts, Fraction(self.time_base))
