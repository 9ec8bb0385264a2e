"""One unbroken stretch of a stream, and what is missing before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from streamer.events.payload import GapReason
    from streamer.timeline import Instant


@dataclass(frozen=True, slots=True)
class MissingInput:
    """Why and since when input was missing.

    Attributes:
        reason: What happened.
        lost_from: Seconds since the Unix epoch of the last input before, None when not known.
        missing: Seconds of media, where the input itself says; else as the clock on the wall does.
        attempts: Connections tried until it went on.
        detail: One line for people, without credentials; at most 500 characters are kept.
    """

    reason: GapReason
    lost_from: float | None = None
    attempts: int = 0
    detail: str = ""
    missing: float | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of input on one clock.

    Attributes:
        number: Counts reconnections, from 0.
        start: First instant of its first shot.
        frame_rate: Pictures a second, None for sound-only input.
        networks: Aspect slot → network that fills it.
        wallclock: Of the start, seconds since the Unix epoch, as the source says.
        arrival: Of the start, seconds since the Unix epoch.
        gap: What is missing before it; None at the beginning of a stream.
    """

    number: int
    start: Instant
    frame_rate: Fraction | None
    networks: Mapping[str, str]
    wallclock: float | None = None
    arrival: float | None = None
    gap: MissingInput | None = None
