"""Timecodes against published and hand-counted values."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events.timecode import timecode

NTSC = Fraction(30_000, 1001)
NTSC_60 = Fraction(60_000, 1001)
FILM = Fraction(24_000, 1001)


@pytest.mark.parametrize(
    ("frame", "rate", "expected"),
    [
        (0, NTSC, "00:00:00;00"),
        (1799, NTSC, "00:00:59;29"),
        (1800, NTSC, "00:01:00;02"),
        (17_981, NTSC, "00:09:59;29"),
        (17_982, NTSC, "00:10:00;00"),
        (107_892, NTSC, "01:00:00;00"),
        (3599, NTSC_60, "00:00:59;59"),
        (3600, NTSC_60, "00:01:00;04"),
        (35_964, NTSC_60, "00:10:00;00"),
        (1440, FILM, "00:01:00:00"),
        (86_399, FILM, "00:59:59:23"),
        (1499, Fraction(25), "00:00:59:24"),
        (1500, Fraction(25), "00:01:00:00"),
        (90_000, Fraction(50), "00:30:00:00"),
        (24 * 3600 * 24, Fraction(24), "00:00:00:00"),
    ],
)
def test_frames(frame: int, rate: Fraction, expected: str) -> None:
    assert timecode(frame / rate, rate) == expected


@pytest.mark.parametrize(
    ("seconds", "rate", "expected"),
    [
        (Fraction(5, 2), None, "00:00:02.500"),
        (Fraction(3_725_0015, 10_000), None, "01:02:05.002"),
        (Fraction(86_401), None, "00:00:01.000"),
        (Fraction(3), Fraction(2437, 100), "00:00:03.000"),
        (Fraction(3), Fraction(90_000), "00:00:03.000"),
        (Fraction(3), Fraction(1, 2), "00:00:03.000"),
        (Fraction(2), Fraction(15_000, 1001), "00:00:02:00"),
    ],
)
def test_milliseconds_where_no_timecode_is_defined(
    seconds: Fraction, rate: Fraction | None, expected: str
) -> None:
    assert timecode(seconds, rate) == expected


@pytest.mark.parametrize("written", [Fraction(2997, 100), Fraction("29.97003"), NTSC])
def test_rounded_rates_are_the_rate_they_mean(written: Fraction) -> None:
    assert timecode(17_982 / NTSC, written) == "00:10:00;00"


def test_nothing_before_the_start() -> None:
    with pytest.raises(ValueError, match="before the start"):
        timecode(Fraction(-1, 1000), Fraction(25))


def frame_number(text: str, nominal: int, dropped: int) -> int:
    """Counts frames by the rule that labels are skipped each minute but every tenth."""
    hours, minutes, seconds, frames = map(int, text.replace(";", ":").split(":"))
    whole = hours * 60 + minutes
    return (whole * 60 + seconds) * nominal + frames - dropped * (whole - whole // 10)


@given(
    st.sampled_from([(NTSC, 30, 2), (NTSC_60, 60, 4), (FILM, 24, 0), (Fraction(25), 25, 0)]),
    st.integers(0, 2_500_000),
    st.integers(-400, 400),
)
def test_every_frame_has_its_own_label_even_when_pts_are_rounded(
    kind: tuple[Fraction, int, int], frame: int, error: int
) -> None:
    rate, nominal, dropped = kind
    frame %= int(rate * 86_000)
    seconds = max(frame / rate + Fraction(error, 1000) / rate, Fraction(0))
    assert frame_number(timecode(seconds, rate), nominal, dropped) == frame
