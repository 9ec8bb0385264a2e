"""Exact media time and the values that travel between stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import total_ordering
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import av
    import numpy as np
    from numpy.typing import NDArray


FIRST_WALLCLOCK: Final = 631_152_000.0
LAST_WALLCLOCK: Final = 7_258_118_400.0
"""The years 1990 and 2200: a clock that says less was never set, one that says more is no clock."""


def plausible(wallclock: float | None) -> float | None:
    """Real time as a source says it, or None where that cannot be.

    Args:
        wallclock: Seconds since the Unix epoch.
    """
    if wallclock is None or not FIRST_WALLCLOCK <= wallclock < LAST_WALLCLOCK:
        return None
    return wallclock


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Timestamp:
    """A point on a stream's clock: ``pts`` ticks of ``time_base`` seconds, never a float.

    Two instants are equal when they name the same second, whatever their time bases.

    Attributes:
        pts: Ticks.
        time_base: Seconds a tick.
        seconds: Exact seconds on the stream's own clock.
    """

    pts: int
    time_base: Fraction
    seconds: Fraction = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Kept: every stage asks for it, and multiplying fractions is slow.
        object.__setattr__(self, "seconds", self.pts * self.time_base)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.seconds == other.seconds

    def __lt__(self, other: Timestamp) -> bool:
        return self.seconds < other.seconds

    def __hash__(self) -> int:
        return hash(self.seconds)


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture in presentation order.

    Attributes:
        start: When it is shown first.
        frame: The decoder's frame; rotation metadata is not applied yet.
        wallclock: Seconds since the Unix epoch when the source says so, else None.
        arrival: Seconds since the Unix epoch when its packet arrived, None for recordings.
        gaps: Places before it where input of a live feed is missing.
    """

    start: Timestamp
    frame: av.VideoFrame
    wallclock: float | None = None
    arrival: float | None = None
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class Sound:
    """One decoded block of sound.

    Attributes:
        start: When its first sample sounds.
        frame: The decoder's frame (any rate, layout and sample format).
        gaps: Places before it where input of a live feed is missing.
    """

    start: Timestamp
    frame: av.AudioFrame
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the demuxer knows before the first frame.

    Attributes:
        has_picture: A decodable picture stream exists.
        has_sound: A decodable sound stream exists.
        frame_rate: Average or guessed frame rate, None when unknown (audio only).
        duration: Seconds, None for live and growing inputs.
        container: Short name of the demuxer, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``.
        picture_codec: e.g. ``h264``; None without picture.
        sound_codec: e.g. ``aac``; None without sound.
        width: Coded width in pixels, 0 without picture.
        height: Coded height in pixels, 0 without picture.
    """

    has_picture: bool
    has_sound: bool
    frame_rate: Fraction | None
    duration: Fraction | None
    container: str
    picture_codec: str | None
    sound_codec: str | None
    width: int
    height: int


ShotEnd = Literal["cut", "gradual", "forced", "window", "gap", "end"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A closed shot: ``[start, end)`` on the stream's clock.

    Attributes:
        index: 0-based within the epoch.
        start: PTS of its first picture (or first sample on sound-only input).
        end: PTS of the first picture of the next shot; at the end of input, end of the last one.
        ended_by: ``cut`` and ``gradual`` are real cuts, ``forced`` is the maximum length,
            ``window`` a fixed window of sound-only input, ``gap`` the loss of a live input that
            may come back, ``end`` the end of the input.
    """

    index: int
    start: Timestamp
    end: Timestamp
    ended_by: ShotEnd

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.end.seconds - self.start.seconds


@dataclass(frozen=True, slots=True)
class EmbeddedShot:
    """A closed shot with its aspect tokens.

    Attributes:
        shot: Where it lies.
        tokens: Aspect name → float32 array ``(tokens, dim)``, at least one token; an aspect
            that could not be observed in this shot (no sound, say) is not a key.
        closed_at: Media time up to which the input had been read when the shot closed.
        compute_seconds: Wall time between the cut being known and the tokens being complete.
    """

    shot: Shot
    tokens: Mapping[str, NDArray[np.float32]]
    closed_at: Fraction
    compute_seconds: float
