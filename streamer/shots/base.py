"""Define what every shot detector takes and gives, and number the shots it closes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from streamer.timeline import Shot

if TYPE_CHECKING:
    from streamer.timeline import ShotEnd, Timestamp


MAX_DELAY: Final = Fraction(20)
"""Most seconds by which the latest frame may be ahead of one that is not decided yet: where
frames are rare, a cut is decided after fewer of them. Audio waits for it in memory."""


@dataclass(frozen=True, slots=True)
class ShotOptions:
    """Choose a detector and its thresholds; `streamer.config.sections.ShotsSection` explains them.

    Attributes:
        detector: Name of the detector.
        transnet_threshold: How certain TransNetV2 must be, in [0, 1].
        latency_frames: Frames after a cut that are seen before it is decided, at 25 a second.
        hard_threshold: How different two frames must be for a hard cut, in [0, 1].
        gradual_threshold: How different the sides of a fade or dissolve must be, in [0, 1].
        min_seconds: Seconds after a cut in which no other cut is seen.
        max_seconds: Seconds after which a shot is closed as ``forced``.
        sound_only_seconds: Length of a shot, in seconds, while there is no video.
    """

    detector: str = "thumbnails"
    transnet_threshold: float = 0.5
    latency_frames: int = 4
    hard_threshold: float = 0.16
    gradual_threshold: float = 0.4
    min_seconds: float = 0.4
    max_seconds: float = 30.0
    sound_only_seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class Step:
    """What one more frame or block of audio has decided.

    Attributes:
        closed: Shots that are now closed, oldest first.
        watermark: Every later cut lies at or after this; only grows. Of frames, at most
            `MAX_DELAY` before the latest.
    """

    closed: tuple[Shot, ...]
    watermark: Timestamp


class ShotBuilder:
    """Number the shots of one stream; each begins where the one before ended.

    Attributes:
        index: Of the running shot.
        start: Of the running shot; None before the first frame or block of audio.
    """

    def __init__(self) -> None:
        self.index = 0
        self.start: Timestamp | None = None

    def close(self, end: Timestamp, ended_by: ShotEnd) -> Shot:
        """End the running shot and start the next one there.

        Raises:
            ValueError: No shot is running.
        """
        if self.start is None:
            raise ValueError("no shot is running")
        shot = Shot(self.index, self.start, end, ended_by)
        self.index += 1
        self.start = end
        return shot

    def lasted(self, at: Timestamp) -> Fraction:
        """Return for how many seconds the running shot has lasted at an instant; 0 without one."""
        return Fraction(0) if self.start is None else at.seconds - self.start.seconds
