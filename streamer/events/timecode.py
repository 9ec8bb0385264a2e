"""Timecodes of positions, for people and editing systems."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from timecode.timecode import Timecode

_HIGHEST_RATE: Final = 240
# Containers round rates (23.98, 2997/125); 24 and 24000/1001 still lie 1e-3 apart.
_TOLERANCE: Final = Fraction(1, 4000)


def timecode(seconds: Fraction, frame_rate: Fraction | None) -> str:
    """Writes a position as a timecode that starts at zero and wraps after 24 hours.

    Args:
        seconds: Exact seconds since the stream's start, at least 0.
        frame_rate: Pictures a second; None for sound-only input.

    Returns:
        ``HH:MM:SS:FF`` for whole rates and for the 1000/1001 rates that have no drop-frame form;
        ``HH:MM:SS;FF`` (drop-frame, SMPTE ST 12-1) for 29.97, 59.94 and 119.88;
        ``HH:MM:SS.mmm`` for sound-only input and for rates that no timecode is defined for, such
        as the average of a variable frame rate.

    Raises:
        ValueError: The position is negative.
    """
    if seconds < 0:
        raise ValueError(f"no timecode before the start of the stream: {seconds} s")
    rate = _nominal(frame_rate)
    if rate is None:
        return str(Timecode("ms", frames=_nearest(seconds * 1000) + 1))
    # Frames are counted here, exactly; the library would round the position down in floats.
    frames = _nearest(seconds * rate) + 1
    whole = round(rate)
    if rate == whole or whole % 30:
        return str(Timecode(whole, frames=frames))
    return str(Timecode(rate, frames=frames))


def _nearest(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


def _nominal(frame_rate: Fraction | None) -> Fraction | None:
    if frame_rate is None or not 1 <= frame_rate <= _HIGHEST_RATE:
        return None
    for exact in (
        Fraction(round(frame_rate)),
        Fraction(round(frame_rate * Fraction(1001, 1000)) * 1000, 1001),
    ):
        if exact and abs(frame_rate / exact - 1) <= _TOLERANCE:
            return exact
    return None
