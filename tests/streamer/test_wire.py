"""Exact times survive JSON; impossible ones are refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamer.timeline import Timestamp
from streamer.wire import WireInstant, ratio

PTS = st.integers(-(1 << 63), (1 << 63) - 1)
BASES = st.fractions(min_value=Fraction(1, 10**9), max_value=1000)


@given(PTS, BASES.filter(lambda base: base > 0))
def test_an_instant_comes_back_exactly(pts: int, base: Fraction) -> None:
    instant = Timestamp(pts, base)
    again = WireInstant.model_validate_json(WireInstant.of(instant).model_dump_json()).instant()
    assert (again.pts, again.time_base) == (pts, base)


@given(st.fractions())
def test_a_ratio_says_numerator_and_denominator(value: Fraction) -> None:
    assert Fraction(ratio(value)) == value


@pytest.mark.parametrize(
    ("pts", "base"),
    [(1 << 63, "1/25"), (0, "1/0"), (0, "1"), (0, "0x1/2"), (0, "1/" + "9" * 41), (0, "1/25\n")],
)
def test_what_is_no_instant_is_refused(pts: int, base: str) -> None:
    with pytest.raises(ValidationError):
        WireInstant(pts=pts, time_base=base)
