"""Measure the shot detectors on composed films with known transitions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av import VideoFrame

from streamer.models.compose.compose import Order, plan_film
from streamer.models.compose.library import scan
from streamer.models.compose.plan import Transition, TransitionKind
from streamer.models.compose.render import Pictures
from streamer.shots.base import ShotOptions
from streamer.shots.detector import make_detector
from streamer.timeline import Picture, Timestamp

if TYPE_CHECKING:
    from streamer.models.compose.plan import FilmPlan, ShotPlan
    from streamer.shots.transnet import Network
    from streamer.timeline import Shot

RATE = Fraction(25)
_SIZE = (480, 270)
# Every second transition is a cut.
_KINDS: tuple[TransitionKind, ...] = ("cut", "dissolve", "cut", "wipe", "cut", "fade_black")
# Pictures beyond a transition at which a cut still counts as it.
_NEAR = 5


@dataclass(frozen=True, slots=True)
class Found:
    """Hold the results of one detector.

    Attributes:
        kinds: Kind of transition → number found, number of these at the first picture of the new
            shot alone, and number of all.
        false: Cuts found where there is no transition.
        pictures: Number of pictures.
        cpu: Process seconds of the detector.
        latency: Pictures after a cut before it is decided, at most.
    """

    kinds: Mapping[str, tuple[int, int, int]]
    false: int
    pictures: int
    cpu: float
    latency: int


def measure_shots(
    media: Path, minutes: float, seed: int, network: Network | None
) -> dict[str, Found]:
    """Run every detector on the same film.

    Args:
        media: Media folder for composing; its test side is used.
        minutes: Least length of the film.
        seed: Decides what is composed.
        network: TransNetV2, or None to leave it out.

    Returns:
        Detector → its results.

    Raises:
        ComposeError: The media cannot be used.
    """
    library = scan(media).side("test")
    width, height = _SIZE
    order = Order(
        media=media,
        out=media,
        movies=1,
        minutes=minutes,
        seed=seed,
        side="test",
        width=width,
        height=height,
        rate=RATE,
        sound="none",
    )
    film = with_transitions(plan_film(order, library, 0))
    choices = {"thumbnails": ShotOptions()}
    if network is not None:
        choices["transnetv2"] = ShotOptions(detector="transnetv2")
    detectors = {name: make_detector(s, RATE, network) for name, s in choices.items()}
    shots: dict[str, list[Shot]] = {name: [] for name in detectors}
    cpu = dict.fromkeys(detectors, 0.0)
    for index, pixels in enumerate(Pictures(film, library)):
        frame = VideoFrame.from_ndarray(pixels, "yuv420p")
        picture = Picture(Timestamp(index, 1 / RATE), frame)
        for name, detector in detectors.items():
            began = time.process_time()
            shots[name] += detector.push(picture).closed
            cpu[name] += time.process_time() - began
    end = Timestamp(film.frames, 1 / RATE)
    for name, detector in detectors.items():
        began = time.process_time()
        shots[name] += detector.finish(end)
        cpu[name] += time.process_time() - began
    return {
        name: judge(film, shots[name], cpu[name], detector.latency_frames)
        for name, detector in detectors.items()
    }


def with_transitions(film: FilmPlan) -> FilmPlan:
    """Return the film with all kinds of transitions in equal shares."""
    rng = np.random.default_rng([*film.seed, 7])
    shots: list[ShotPlan] = []
    for index, shot in enumerate(film.shots):
        kind = _KINDS[index % len(_KINDS)]
        transition = Transition("start")
        if shots:
            half = float(RATE) * rng.uniform(0.16, 0.6)
            before = shots[-1]
            lead = int(min(half, (before.frames - before.transition.after) * 0.4))
            trail = int(min(half, shot.frames * 0.4))
            gradual = kind != "cut" and lead and trail
            transition = Transition(kind, lead, trail) if gradual else Transition()
        shots.append(replace(shot, transition=transition))
    return replace(film, shots=tuple(shots))


def judge(film: FilmPlan, shots: list[Shot], cpu: float, latency: int) -> Found:
    """Compare shots with a film's transitions; each cut matches one transition at most.

    Args:
        film: What was shown.
        shots: What was found, in order; those closed for their length do not count.
        cpu: Process seconds.
        latency: Of the detector, in pictures.

    Returns:
        Hits and misses.
    """
    cuts = [shot.end.pts for shot in shots if shot.ended_by in ("cut", "gradual")]
    kinds: dict[str, tuple[int, int, int]] = {}
    for shot in film.shots[1:]:
        hits, exact, count = kinds.get(shot.transition.kind, (0, 0, 0))
        first, alone = _span(shot)
        near = [cut for cut in cuts if first - _NEAR <= cut <= alone + _NEAR]
        if near:
            nearest = min(near, key=lambda cut: abs(cut - alone))
            cuts.remove(nearest)
            hits, exact = hits + 1, exact + (nearest == alone)
        kinds[shot.transition.kind] = (hits, exact, count + 1)
    return Found(dict(sorted(kinds.items())), len(cuts), film.frames, cpu, latency)


def _span(shot: ShotPlan) -> tuple[int, int]:
    """Return the first picture of the transition into a shot, and the first one after it."""
    return shot.first - shot.transition.before, shot.first + shot.transition.after
