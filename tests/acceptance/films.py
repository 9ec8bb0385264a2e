"""The pictures of the films that the command is tried on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from tests.media import Clip, Pixels, frames_of, panning

RATE = Fraction(25)
SHOTS = 8
SHOT_FRAMES = 30
CUTS = [SHOT_FRAMES * shot / 25 for shot in range(1, SHOTS)]


def pictures(
    shots: int = SHOTS,
    frames: int = SHOT_FRAMES,
    width: int = 320,
    height: int = 180,
    *,
    seed: int = 0,
) -> Iterator[Pixels]:
    """Shots of a moving camera, each over another picture."""
    clips = [Clip(panning(seed + shot, width, height), frames) for shot in range(shots)]
    return frames_of(clips, RATE)
