"""Draw random values: bounded distributions, style and grading of films, camera and figures."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from numpy.random import Generator

from streamer.models.compose.library import Person
from streamer.models.compose.plan import Box, Figure, Look, Move, SoundTrack, Style

T = TypeVar("T")


def log_normal(rng: Generator, median: float, sigma: float, low: float, high: float) -> float:
    """Draw a log-normal value, clipped.

    Args:
        rng: Random generator.
        median: Half of the values lie below.
        sigma: Standard deviation of the logarithm.
        low: Lower bound.
        high: Upper bound.
    """
    return min(max(median * math.exp(sigma * rng.standard_normal()), low), high)


def weighted(rng: Generator, weights: Mapping[T, float]) -> T:
    """Draw a key with probability proportional to its weight."""
    point = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        point -= weight
        if point < 0:
            return key
    return list(weights)[-1]


def pick(rng: Generator, values: Sequence[T]) -> T:
    """Draw an element, all equally likely."""
    return values[int(rng.integers(len(values)))]


def chance(rng: Generator, probability: float) -> bool:
    """Draw True with a probability."""
    return bool(rng.random() < probability)


def between(rng: Generator, low: float, high: float) -> float:
    """Draw a uniform value."""
    return low + (high - low) * float(rng.random())


class Deck:
    """Indices dealt without repetition until all are used, then shuffled again."""

    def __init__(self, rng: Generator, size: int) -> None:
        self._rng = rng
        self._size = size
        self._left: list[int] = []

    def deal(self, avoid: int | None = None) -> int:
        """Deal the next index, if possible another one than ``avoid``."""
        if not self._left:
            self._left = [int(i) for i in self._rng.permutation(self._size)]
        if self._left[-1] == avoid:
            if len(self._left) == 1:
                self._left = [int(i) for i in self._rng.permutation(self._size)] + self._left
            self._left[-1], self._left[0] = self._left[0], self._left[-1]
        return self._left.pop()


SOUND_TRACKS: dict[SoundTrack, float] = {
    "full": 0.84,
    "none": 0.04,
    "silent": 0.03,
    "music_only": 0.04,
    "speech_only": 0.05,
}


GOLDEN = 0.6180339887498949


def sound_track(seed: int, index: int) -> SoundTrack:
    """Choose the sound layers of a film so that even a few films come near the stated shares.

    Args:
        seed: Seed of the order.
        index: Index of the film.
    """
    # Steps of the golden ratio fill the unit interval evenly from any start.
    point = (random.Random(seed).random() + index * GOLDEN) % 1.0  # noqa: S311 - no secret
    for track, share in SOUND_TRACKS.items():
        point -= share
        if point < 0:
            return track
    return "full"


def draw_style(rng: Generator, sound: SoundTrack) -> Style:
    """Draw shape, picture quality and sound quality of a film.

    Args:
        rng: Random generator.
        sound: Layers heard.
    """
    stereo = chance(rng, 0.7)
    bit_rate = pick(rng, (32_000, 48_000, 64_000, 96_000, 128_000))
    return Style(
        crf=int(rng.integers(17, 33)),
        preset=weighted(rng, {"ultrafast": 0.6, "superfast": 0.25, "veryfast": 0.15}),
        b_frames=weighted(rng, {0: 0.5, 2: 0.5}),
        shape=weighted(rng, {16 / 9: 0.5, 1.85: 0.15, 2.39: 0.2, 4 / 3: 0.15}),
        squeeze=between(rng, 1.0, 1.15) if chance(rng, 0.3) else 1.0,
        grain=between(rng, 1.0, 5.0) if chance(rng, 0.4) else 0.0,
        sound=sound,
        sound_codec=weighted(rng, {"aac": 0.8, "mp3": 0.2}),
        sample_rate=weighted(rng, {48_000: 0.7, 44_100: 0.25, 32_000: 0.05}),
        bit_rate=bit_rate * 2 if stereo else bit_rate,
        stereo=stereo,
        cutoff=weighted(rng, {20_000.0: 0.6, 12_000.0: 0.15, 8_000.0: 0.15, 5_000.0: 0.1}),
        gain=max(-18.0, min(6.0, rng.normal(0.0, 4.0))),
    )


def film_look(rng: Generator) -> Look:
    """Draw the grading shared by all scenes of a film."""
    warmth = rng.normal(0.0, 0.05)
    return Look(
        gains=(1.0 + warmth, 1.0 + rng.normal(0.0, 0.02), 1.0 - warmth),
        saturation=0.0 if chance(rng, 0.05) else log_normal(rng, 0.95, 0.2, 0.4, 1.4),
        contrast=log_normal(rng, 1.0, 0.1, 0.75, 1.3),
        gamma=log_normal(rng, 1.0, 0.12, 0.75, 1.35),
        lift=max(0.0, rng.normal(0.0, 0.02)),
    )


def scene_look(rng: Generator, base: Look, night: bool) -> Look:
    """Vary the film's grading for one scene.

    Args:
        rng: Random generator.
        base: From ``film_look``.
        night: Whether the scene is at night: dimmer and bluer.
    """
    warmth = rng.normal(0.0, 0.05) - (0.14 if night else 0.0)
    dim = between(rng, 0.5, 0.75) if night else log_normal(rng, 1.0, 0.1, 0.7, 1.25)
    red, green, blue = base.gains
    return Look(
        gains=(
            red * dim * (1.0 + warmth),
            green * dim * (1.0 + rng.normal(0.0, 0.02)),
            blue * dim * (1.0 - warmth),
        ),
        saturation=base.saturation * log_normal(rng, 0.75 if night else 1.0, 0.15, 0.4, 1.4),
        contrast=base.contrast * log_normal(rng, 1.0, 0.06, 0.85, 1.15),
        gamma=base.gamma * log_normal(rng, 1.0, 0.08, 0.8, 1.25),
        lift=base.lift,
    )


def shot_look(rng: Generator, scene: Look) -> Look:
    """Vary the scene's grading a little for one shot."""
    drift = 1.0 + rng.normal(0.0, 0.03)
    red, green, blue = scene.gains
    return Look(
        (red * drift, green * drift, blue * drift),
        scene.saturation,
        scene.contrast,
        scene.gamma,
        scene.lift,
    )


WIDE, MEDIUM, CLOSE = 1.05, 1.4, 1.9


def draw_move(rng: Generator, zoom: float, seconds: float, lively: bool) -> Move:
    """Draw a camera move around a random point of a view.

    Args:
        rng: Random generator.
        zoom: Initial zoom.
        seconds: Length of the shot; a slow pan over a short shot is short.
        lively: Whether handheld shots and fast moves are likely.
    """
    zoom *= log_normal(rng, 1.0, 0.08, 0.85, 1.2)
    zoom = max(zoom, 1.02)
    spread = 0.5 - 0.5 / zoom
    begin = Box(
        0.5 + spread * between(rng, -0.9, 0.9), 0.5 + spread * between(rng, -0.7, 0.7), zoom
    )
    kind = weighted(
        rng,
        {"handheld": 0.5, "pan": 0.2, "push": 0.15, "static": 0.15}
        if lively
        else {"static": 0.4, "push": 0.2, "pan": 0.14, "tilt": 0.06, "handheld": 0.2},
    )
    end = begin
    speed = between(rng, 0.02, 0.10 if lively else 0.05)
    travel = min(speed * seconds, 0.35)
    if kind == "pan":
        end = Box(begin.x + (travel if begin.x < 0.5 else -travel), begin.y, zoom)
    elif kind == "tilt":
        end = Box(begin.x, begin.y + (travel if begin.y < 0.5 else -travel) * 0.6, zoom)
    elif kind == "push":
        factor = 1.0 + min(0.35, between(rng, 0.01, 0.06) * seconds)
        end = Box(0.5 + (begin.x - 0.5) * 0.8, begin.y, zoom * factor)
        if chance(rng, 0.35):
            begin, end = end, begin
    shake = 0.0
    if kind == "handheld":
        shake = between(rng, 0.004, 0.015 if lively else 0.007)
    a, b, c, d = (float(v) for v in rng.random(4))
    return Move(begin, end, shake, (a, b, c, d))


def stand(
    rng: Generator, person: Person, cloth: tuple[float, float, float], x: float, height: float
) -> Figure:
    """Draw a person facing the camera.

    Args:
        rng: Random generator.
        person: The person.
        cloth: Colour of the clothes in this scene.
        x: Centre, 0 … 1 of the picture's width.
        height: In picture heights.
    """
    return Figure(
        person=person.name,
        portrait=int(rng.integers(len(person.portraits))),
        x=min(max(x + rng.normal(0.0, 0.015), 0.1), 0.9),
        height=height * log_normal(rng, 1.0, 0.05, 0.88, 1.14),
        mirrored=x > 0.5,
        cloth=cloth,
        sway=between(rng, 0.002, 0.009),
        phase=float(rng.random()),
    )


def over_the_shoulder(
    rng: Generator, person: Person, cloth: tuple[float, float, float], x: float
) -> Figure:
    """Draw the back of a listener, dark and out of focus at the edge of the picture."""
    return Figure(
        person=person.name,
        portrait=0,
        x=x + rng.normal(0.0, 0.01),
        height=between(rng, 1.25, 1.5),
        mirrored=x < 0.5,
        cloth=cloth,
        back=True,
        sway=between(rng, 0.002, 0.006),
        phase=float(rng.random()),
    )
