"""What holds for a whole film, and the grading of its scenes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from streamer.models.compose.draw import between, chance, log_normal, pick, weighted
from streamer.models.compose.plan import Look, Style

if TYPE_CHECKING:
    from numpy.random import Generator

    from streamer.models.compose.plan import SoundTrack

SOUND_TRACKS: dict[SoundTrack, float] = {
    "full": 0.84,
    "none": 0.04,
    "silent": 0.03,
    "music_only": 0.04,
    "speech_only": 0.05,
}


GOLDEN = 0.6180339887498949


def sound_track(seed: int, index: int) -> SoundTrack:
    """Which layers a film has, spread so that even a few films come near the stated shares.

    Args:
        seed: Of the order.
        index: Of the film.
    """
    # Steps of the golden ratio fill the unit interval evenly from any start.
    point = (random.Random(seed).random() + index * GOLDEN) % 1.0  # noqa: S311 - no secret
    for track, share in SOUND_TRACKS.items():
        point -= share
        if point < 0:
            return track
    return "full"


def draw_style(rng: Generator, sound: SoundTrack) -> Style:
    """Shape, picture quality and sound quality of a film.

    Args:
        rng: Source of chance.
        sound: Which layers are heard.
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
    """The base that all scenes of a film share: stock, printer, taste."""
    warmth = rng.normal(0.0, 0.05)
    return Look(
        gains=(1.0 + warmth, 1.0 + rng.normal(0.0, 0.02), 1.0 - warmth),
        saturation=0.0 if chance(rng, 0.05) else log_normal(rng, 0.95, 0.2, 0.4, 1.4),
        contrast=log_normal(rng, 1.0, 0.1, 0.75, 1.3),
        gamma=log_normal(rng, 1.0, 0.12, 0.75, 1.35),
        lift=max(0.0, rng.normal(0.0, 0.02)),
    )


def scene_look(rng: Generator, base: Look, night: bool) -> Look:
    """The film's base varied for one scene.

    Args:
        rng: Source of chance.
        base: From ``film_look``.
        night: Whether it plays in the dark: dimmer and bluer.
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
    """The scene's grading with the small drift between set-ups."""
    drift = 1.0 + rng.normal(0.0, 0.03)
    red, green, blue = scene.gains
    return Look(
        (red * drift, green * drift, blue * drift),
        scene.saturation,
        scene.contrast,
        scene.gamma,
        scene.lift,
    )
