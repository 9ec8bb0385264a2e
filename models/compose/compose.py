"""Compose annotated synthetic films: plan, render in several processes, write atomically."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from streamer.errors import ComposeError
from streamer.lines import reason
from streamer.models.compose.draw import draw_style, sound_track
from streamer.models.compose.library import Library, Side, scan
from streamer.models.compose.plan import (
    FilmPlan,
    SoundTrack,
    Style,
    describe,
    write_description,
    write_scenes,
    write_shots,
)
from streamer.models.compose.render import write_film
from streamer.models.compose.screenplay import Bounds, Screenwriter
from streamer.models.compose.soundtrack import SoundWriter
from streamer.processes import spawned_pool

SUFFIXES = (".mp4", ".scenes.csv", ".shots.csv", ".json")


@dataclass(frozen=True, slots=True)
class Order:
    """Films to compose.

    Attributes:
        media: Media folder.
        out: Folder for the films.
        movies: Number of films.
        minutes: Least length of each; a film ends at most three shots later.
        seed: Seed of all random choices.
        side: Side of the split, or None for all media.
        width: Pixels, even, at least 64.
        height: Pixels, even, at least 64.
        rate: Frames a second.
        sound: Layers heard in all films, or None to draw them for each.
        title: Name of the only film; otherwise films are named by side, seed and number.
        style: Style of all films, or None to draw one for each.
        median_shots: Half of the scenes have fewer shots.
        most_shots: No scene has more.
        pace: Factor on the length of shots; they stay within 1 … 12 s.
    """

    media: Path
    out: Path
    movies: int
    minutes: float
    seed: int
    side: Side | None = None
    width: int = 480
    height: int = 270
    rate: Fraction = Fraction(25)
    sound: SoundTrack | None = None
    title: str | None = None
    style: Style | None = None
    median_shots: float = 9.0
    most_shots: int = 40
    pace: float = 1.0

    def check(self) -> None:
        """Check the values.

        Raises:
            ComposeError: A value is out of range.
        """
        if self.title is not None and self.movies != 1:
            raise ComposeError("only a single movie can have a title")
        if self.movies < 1 or self.minutes <= 0 or self.minutes > 600:
            raise ComposeError("at least one movie of more than 0 and at most 600 minutes")
        if self.width % 2 or self.height % 2 or min(self.width, self.height) < 64:
            raise ComposeError(f"{self.width}x{self.height}: sides must be even and at least 64")
        if self.width * self.height > 4096 * 2304:
            raise ComposeError(f"{self.width}x{self.height}: larger than 4096x2304")
        if not 5 <= self.rate <= 120:
            raise ComposeError(f"{self.rate} frames a second: must lie within 5 … 120")
        if self.seed < 0:
            raise ComposeError("the seed must not be negative")
        if not 3 <= self.most_shots <= 40:
            raise ComposeError("a scene has between 3 and 40 shots")

    def terms(self) -> dict[str, object]:
        """Return the parameters of the films besides the media, as plain JSON values."""
        terms: dict[str, object] = {
            "minutes": self.minutes,
            "split": self.side,
            "width": self.width,
            "height": self.height,
            "rate": f"{self.rate.numerator}/{self.rate.denominator}",
            "sound": self.sound,
            "median_shots": self.median_shots,
            "most_shots": self.most_shots,
            "pace": self.pace,
        }
        if self.style is not None:
            terms["style"] = asdict(self.style)
        return terms

    def name(self, index: int) -> str:
        """Return the base name of one film's files."""
        if self.title is not None:
            return self.title
        side = f"-{self.side}" if self.side else ""
        return f"film{side}-{self.seed}-{index:03d}"


def plan_film(order: Order, library: Library, index: int) -> FilmPlan:
    """Plan one film completely, without reading a picture or a sound.

    Args:
        order: Films to compose.
        library: Side of the media to draw from.
        index: Index of the film in the order.
    """
    seed = (order.seed, index)
    style = order.style or draw_style(
        np.random.default_rng([*seed, 0]), order.sound or sound_track(*seed)
    )
    bounds = Bounds(
        frames=max(1, round(order.minutes * 60 * order.rate)),
        rate=order.rate,
        median_shots=order.median_shots,
        most_shots=order.most_shots,
        pace=order.pace,
    )
    writer = Screenwriter(library, np.random.default_rng([*seed, 1]), bounds)
    scenes, shots = writer.write()
    cast = [person.name for person in writer.cast]
    sounds = SoundWriter(
        library, np.random.default_rng([*seed, 3]), order.rate, style.sound, cast
    ).write(scenes, shots)
    return FilmPlan(
        name=order.name(index),
        seed=seed,
        width=order.width,
        height=order.height,
        rate=order.rate,
        style=style,
        scenes=scenes,
        shots=shots,
        sounds=sounds,
    )


def compose_film(
    order: Order, index: int, advance: Callable[[int], None] | None = None
) -> FilmPlan:
    """Compose one film and its annotations; its files appear together or not at all.

    Raises:
        ComposeError: A source cannot be read or a file cannot be written.
    """
    library = scan(order.media).side(order.side)
    film = plan_film(order, library, index)
    drafts = {s: order.out / f".{film.name}.part{s}" for s in SUFFIXES}
    try:
        order.out.mkdir(parents=True, exist_ok=True)
        write_film(film, library, drafts[".mp4"], advance)
        write_scenes(film, drafts[".scenes.csv"])
        write_shots(film, drafts[".shots.csv"])
        facts = {**describe(film, library, order.side), "order": order.terms()}
        write_description(facts, drafts[".json"])
        for suffix, draft in drafts.items():
            draft.replace(order.out / f"{film.name}{suffix}")
    except OSError as error:
        raise ComposeError(f"{order.out}: cannot be written: {reason(error)}") from error
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
    return film


def existing_film(order: Order, index: int) -> Literal["missing", "same", "other"]:
    """Tell whether a film exists in the folder, and whether it was made with this order's terms.

    Raises:
        ComposeError: The description beside it is unreadable.
    """
    path = order.out / f"{order.name(index)}.json"
    if not path.exists():
        return "missing"
    try:
        held = json.loads(path.read_text("utf-8"))
        same = held["order"] == order.terms() and held["seed"] == [order.seed, index]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ComposeError(f"{path}: not a description of a composed film") from error
    return "same" if same else "other"


def _compose_one(order: Order, index: int) -> int:
    compose_film(order, index)
    return index


def compose(order: Order, jobs: int = 1, done: Callable[[str], None] | None = None) -> list[str]:
    """Compose all films of an order; films whose description exists are kept.

    Args:
        order: Films to compose.
        jobs: Number of processes; the films do not depend on it.
        done: Called with the name of each finished film.

    Returns:
        The names of all films, in order.

    Raises:
        ComposeError: The order or the media are unusable, or a film could not be written.
    """
    order.check()
    scan(order.media).side(order.side)
    missing = []
    for index in range(order.movies):
        # The description is moved into place last: where it exists, the film is complete.
        state = existing_film(order, index)
        if state == "other":
            path = order.out / f"{order.name(index)}.json"
            raise ComposeError(f"{path}: composed with other options; choose another folder")
        if state == "missing":
            missing.append(index)
        elif done is not None:
            done(order.name(index))
    if jobs == 1:
        for index in missing:
            compose_film(order, index)
            if done is not None:
                done(order.name(index))
    elif missing:
        with spawned_pool(min(jobs, len(missing))) as pool:
            for future in as_completed(pool.submit(_compose_one, order, i) for i in missing):
                index = future.result()
                if done is not None:
                    done(order.name(index))
    return [order.name(index) for index in range(order.movies)]
