"""Where camera and people stand in one shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.models.compose.draw import between, chance, log_normal, weighted
from streamer.models.compose.plan import Box, Figure, Move

if TYPE_CHECKING:
    from numpy.random import Generator

    from streamer.models.compose.library import Person

WIDE, MEDIUM, CLOSE = 1.05, 1.4, 1.9


def draw_move(rng: Generator, zoom: float, seconds: float, lively: bool) -> Move:
    """A camera move about a random spot of a view.

    Args:
        rng: Source of chance.
        zoom: Enlargement to start from.
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
    """A person facing the camera.

    Args:
        rng: Source of chance.
        person: Who.
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
    """The back of whoever listens, dark and out of focus at the edge of the picture."""
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
