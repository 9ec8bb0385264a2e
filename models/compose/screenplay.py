"""Draw the scenes and shots of a film: which views, who stands where, who speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from numpy.random import Generator

from streamer.models.compose.draw import (
    CLOSE,
    MEDIUM,
    WIDE,
    Deck,
    between,
    chance,
    draw_move,
    film_look,
    log_normal,
    over_the_shoulder,
    pick,
    scene_look,
    shot_look,
    stand,
    weighted,
)
from streamer.models.compose.library import Library, Person, Place
from streamer.models.compose.plan import (
    Figure,
    Look,
    SceneKind,
    ScenePlan,
    ShotPlan,
    Transition,
    TransitionKind,
)

SHOT_SECONDS = (1.0, 12.0)
SCENE_SHOTS = (3, 40)
KINDS: dict[SceneKind, float] = {
    "dialogue": 0.42,
    "action": 0.17,
    "quiet": 0.19,
    "montage": 0.08,
    "parallel": 0.14,
}
PACE: dict[SceneKind, float] = {
    "dialogue": 3.2,
    "action": 1.9,
    "quiet": 4.6,
    "montage": 3.0,
    "parallel": 2.6,
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Length of a film, its scenes and its shots.

    Attributes:
        frames: Least length; the film ends within three shots after it.
        rate: Frames a second.
        median_shots: Half of the scenes have fewer shots.
        most_shots: No scene has more shots.
        pace: Factor on the length of shots.
    """

    frames: int
    rate: Fraction
    median_shots: float = 9.0
    most_shots: int = SCENE_SHOTS[1]
    pace: float = 1.0


class Screenwriter:
    """Draws scenes until the film is long enough.

    Args:
        library: One side of the media.
        rng: Random generator.
        bounds: Length and pace.
    """

    def __init__(self, library: Library, rng: Generator, bounds: Bounds) -> None:
        self._library = library
        self._rng = rng
        self._bounds = bounds
        self._base = film_look(rng)
        self._places = Deck(rng, len(library.places))
        company = library.people or unseen(library)
        count = min(len(company), int(rng.integers(5, 10)))
        self._cast = [company[int(i)] for i in rng.permutation(len(company))[:count]]
        self._mirrored: dict[str, bool] = {}
        self._used: list[int] = []
        self._scenes: list[ScenePlan] = []
        self._shots: list[ShotPlan] = []

    @property
    def cast(self) -> tuple[Person, ...]:
        """Everyone who may appear."""
        return tuple(self._cast)

    def write(self) -> tuple[tuple[ScenePlan, ...], tuple[ShotPlan, ...]]:
        """Draw scenes and shots, both tiling the film."""
        before: Setting | None = None
        while not self._shots or self._shots[-1].end < self._bounds.frames:
            setting = self._setting(before)
            self._play(setting)
            before = setting
        return tuple(self._scenes), tuple(self._shots)

    def _setting(self, before: Setting | None) -> Setting:
        rng, library = self._rng, self._library
        kind = weighted(rng, KINDS)
        if not self._cast and kind == "dialogue":
            kind = "quiet"
        relation: Literal["opening", "new_place", "same_place", "return"] = "opening"
        if before is not None:
            relation = weighted(rng, {"new_place": 0.70, "same_place": 0.12, "return": 0.18})
        elsewhere = [i for i in self._used[:-1] if i != self._used[-1]] if self._used else []
        if relation == "return" and not elsewhere:
            relation = "new_place"
        if len(library.places) == 1 and before is not None:
            relation = "same_place"
        if relation == "same_place":
            first = self._used[-1]
        elif relation == "return":
            first = pick(rng, elsewhere[-4:])
        else:
            first = self._places.deal(self._used[-1] if self._used else None)
        indices = [first]
        extra = {"parallel": 1, "montage": int(rng.integers(1, 4))}.get(kind, 0)
        for _ in range(extra):
            other = self._places.deal(first)
            if other not in indices:
                indices.append(other)
        # A later scene returns to, or stays in, the scene's first place.
        self._used.append(first)
        places = tuple(library.places[i] for i in indices)
        people = self._company(kind, relation, before)
        night = any(p.night for p in places)
        if relation == "same_place" and not night:
            night = chance(rng, 0.6)
        elif not night and places[0].indoor is not True:
            night = chance(rng, 0.12)
        return Setting(
            kind=kind,
            relation=relation,
            places=places,
            people=people,
            cloths=tuple(self._cloth() for _ in people),
            look=scene_look(rng, self._base, night and not places[0].night),
            pace=PACE[kind] * log_normal(rng, 1.0, 0.25, 0.6, 1.7) * self._bounds.pace,
            views=tuple(self._views(p, kind) for p in places),
        )

    def _company(
        self, kind: SceneKind, relation: str, before: Setting | None
    ) -> tuple[Person, ...]:
        rng = self._rng
        if not self._cast:
            return ()
        count = {
            "dialogue": weighted(rng, {2: 0.75, 3: 0.25}),
            "parallel": 2,
            "action": weighted(rng, {0: 0.4, 1: 0.35, 2: 0.25}),
            "quiet": weighted(rng, {0: 0.45, 1: 0.45, 2: 0.1}),
            "montage": weighted(rng, {0: 0.6, 1: 0.4}),
        }[kind]
        pool = list(self._cast)
        # Staying in one place is a new scene only because the people are others.
        if relation == "same_place" and before is not None:
            others = [p for p in pool if p not in before.people]
            pool = others or pool
        order = rng.permutation(len(pool))[:count]
        return tuple(pool[int(i)] for i in order)

    def _cloth(self) -> tuple[float, float, float]:
        rng = self._rng
        if chance(rng, 0.2):
            return (1.0, 1.0, 1.0)
        shade = between(rng, 0.15, 0.8)
        red, green, blue = (min(1.0, shade * between(rng, 0.5, 1.3)) for _ in range(3))
        return (red, green, blue)

    def _views(self, place: Place, kind: SceneKind) -> tuple[int, ...]:
        rng = self._rng
        least = min(len(place.views), 3)
        most = min(len(place.views), 5 if kind in ("parallel", "montage") else 9)
        count = int(rng.integers(least, most + 1))
        return tuple(int(i) for i in rng.permutation(len(place.views))[:count])

    def _play(self, setting: Setting) -> None:
        rng, bounds = self._rng, self._bounds
        first = self._shots[-1].end if self._shots else 0
        median = bounds.median_shots * {"quiet": 0.6, "montage": 0.9, "action": 1.2}.get(
            setting.kind, 1.0
        )
        wanted = round(log_normal(rng, median, 0.65, SCENE_SHOTS[0], bounds.most_shots))
        scene = len(self._scenes)
        angles = Angles(rng, setting)
        count = 0
        while count < wanted:
            start = self._shots[-1].end if self._shots else 0
            if start >= bounds.frames and count >= SCENE_SHOTS[0]:
                break
            self._shots.append(self._shot(setting, angles, scene, count, start))
            count += 1
        self._scenes.append(
            ScenePlan(
                kind=setting.kind,
                first=first,
                frames=self._shots[-1].end - first,
                shots=count,
                places=tuple(p.name for p in setting.places),
                people=tuple(p.name for p in setting.people),
                relation=setting.relation,
            )
        )

    def _shot(
        self, setting: Setting, angles: Angles, scene: int, index: int, first: int
    ) -> ShotPlan:
        rng, rate = self._rng, self._bounds.rate
        low, high = SHOT_SECONDS
        seconds = log_normal(rng, setting.pace, 0.5, low, high)
        if index == 0 and chance(rng, 0.5):
            seconds = min(seconds * 1.4, high)
        frames = min(max(round(seconds * rate), -(-low * rate // 1)), high * rate // 1)
        frames = int(frames)
        angle = angles.next(index)
        name = setting.places[angle.place].name
        if name not in self._mirrored:
            self._mirrored[name] = chance(rng, 0.3)
        return ShotPlan(
            scene=scene,
            first=first,
            frames=frames,
            place=name,
            view=angle.view,
            mirrored=self._mirrored[name],
            move=draw_move(rng, angle.zoom, float(frames / rate), setting.kind == "action"),
            figures=angle.figures,
            talker=angle.talker,
            look=shot_look(rng, setting.look),
            blur=between(rng, 2.0, 9.0) if angle.figures and angle.zoom > WIDE * 1.2 else 0.0,
            flashes=self._flashes(setting.kind, frames),
            transition=self._transition(setting.kind, index, frames),
        )

    def _flashes(self, kind: SceneKind, frames: int) -> tuple[tuple[int, int], ...]:
        rng = self._rng
        if frames < 12 or not chance(rng, 0.10 if kind == "action" else 0.02):
            return ()
        spots = sorted(int(rng.integers(4, frames - 6)) for _ in range(int(rng.integers(1, 4))))
        return tuple((spot, int(rng.integers(1, 4))) for spot in spots)

    def _transition(self, kind: SceneKind, index: int, frames: int) -> Transition:
        rng = self._rng
        if not self._shots:
            return Transition("start")
        weights: dict[TransitionKind, float] = {"cut": 0.975, "dissolve": 0.025}
        if index == 0:
            weights = {"cut": 0.78, "dissolve": 0.1, "fade_black": 0.09, "fade_white": 0.03}
        elif kind == "montage":
            weights = {"cut": 0.7, "dissolve": 0.3}
        name = weighted(rng, weights)
        if name == "cut":
            return Transition()
        half = float(self._bounds.rate) * between(rng, 0.16, 0.9)
        before = self._shots[-1]
        lead = int(min(half, (before.frames - before.transition.after) * 0.4))
        trail = int(min(half, frames * 0.4))
        return Transition(name, lead, trail) if lead and trail else Transition()


def unseen(library: Library) -> tuple[Person, ...]:
    """Make a person without portraits for every speaker, for media without faces."""
    return tuple(Person(f"voice:{unit}", ()) for unit in sorted({r.unit for r in library.speech}))


@dataclass(frozen=True, slots=True)
class Setting:
    """What stays the same in all shots of a scene."""

    kind: SceneKind
    relation: Literal["opening", "new_place", "same_place", "return"]
    places: tuple[Place, ...]
    people: tuple[Person, ...]
    cloths: tuple[tuple[float, float, float], ...]
    look: Look
    pace: float
    views: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Angle:
    """One camera set-up inside a scene."""

    place: int
    view: int
    zoom: float
    figures: tuple[Figure, ...]
    talker: str | None


class Angles:
    """Draws the set-ups of one scene so that consecutive shots never look the same.

    Args:
        rng: Random generator.
        setting: The scene.
    """

    def __init__(self, rng: Generator, setting: Setting) -> None:
        self._rng = rng
        self._setting = setting
        self._last: tuple[int, int, str | None] | None = None
        self._turn = int(rng.integers(max(len(setting.people), 1)))
        self._place = 0
        self._run = int(rng.integers(1, 4))
        self._heights = tuple(between(rng, 0.85, 1.35) for _ in setting.people)
        self._shoulders = chance(rng, 0.4)

    def next(self, index: int) -> Angle:
        """Draw the set-up of the scene's shot ``index``."""
        kind, rng = self._setting.kind, self._rng
        if kind in ("parallel", "montage") and index > 0:
            self._run -= 1
            if self._run <= 0:
                self._place = (self._place + 1) % len(self._setting.places)
                self._run = int(rng.integers(1, 4 if kind == "parallel" else 3))
        if not self._setting.people:
            return self._empty()
        if index == 0 and chance(rng, 0.55):
            return self._empty(WIDE)
        if kind == "dialogue":
            return self._conversation()
        if kind == "parallel":
            return self._one(self._place % len(self._setting.people), talking=True)
        if chance(rng, 0.5):
            return self._empty()
        return self._one(int(rng.integers(len(self._setting.people))), talking=chance(rng, 0.25))

    def _empty(self, zoom: float | None = None) -> Angle:
        rng = self._rng
        views = self._setting.views[self._place]
        fresh = [v for v in views if self._last is None or (self._place, v) != self._last[:2]]
        view = pick(rng, fresh or views)
        self._last = (self._place, view, None)
        return Angle(self._place, view, zoom or pick(rng, (WIDE, MEDIUM, CLOSE)), (), None)

    def _one(self, who: int, talking: bool) -> Angle:
        rng, setting = self._rng, self._setting
        if not setting.people[who].portraits:
            return replace(self._empty(), talker=setting.people[who].name if talking else None)
        if self._last is not None and self._last[2] == setting.people[who].name:
            return self._empty()
        view = self._side(who)
        figure = stand(
            rng,
            setting.people[who],
            setting.cloths[who],
            (0.36, 0.64, 0.5)[who % 3],
            self._heights[who],
        )
        self._last = (self._place, view, setting.people[who].name)
        talker = setting.people[who].name if talking else None
        return Angle(self._place, view, pick(rng, (MEDIUM, CLOSE)), (figure,), talker)

    def _side(self, who: int) -> int:
        views = self._setting.views[self._place]
        return views[who % len(views)]

    def _conversation(self) -> Angle:
        rng, setting = self._rng, self._setting
        speaker = self._turn
        self._turn = (self._turn + 1 + int(rng.integers(max(len(setting.people) - 1, 1)))) % len(
            setting.people
        )
        talker = setting.people[speaker].name
        shape = weighted(
            rng, {"single": 0.66, "reaction": 0.14, "group": 0.12, "empty": 0.06, "pause": 0.02}
        )
        if shape == "empty" or not setting.people[speaker].portraits:
            return replace(self._empty(), talker=None if shape == "pause" else talker)
        if shape == "group" and len(setting.people) > 1:
            return self._group(talker)
        shown = speaker
        if shape == "reaction":
            shown = (speaker + 1) % len(setting.people)
        if self._last is not None and self._last[2] == setting.people[shown].name:
            shown = (shown + 1) % len(setting.people)
        if self._last is not None and self._last[2] == setting.people[shown].name:
            return self._empty()
        angle = self._one(shown, talking=False)
        figures = angle.figures
        if self._shoulders and len(setting.people) > 1 and figures:
            other = (shown + 1) % len(setting.people)
            edge = 0.88 if figures[0].x < 0.5 else 0.12
            figures = (
                *figures,
                over_the_shoulder(rng, setting.people[other], setting.cloths[other], edge),
            )
        return Angle(
            angle.place, angle.view, angle.zoom, figures, None if shape == "pause" else talker
        )

    def _group(self, talker: str) -> Angle:
        rng, setting = self._rng, self._setting
        views = setting.views[self._place]
        view = views[-1] if self._last is None or self._last[1] != views[-1] else views[0]
        spots = (0.28, 0.72) if len(setting.people) == 2 else (0.2, 0.5, 0.8)
        height = between(rng, 0.55, 0.8)
        figures = tuple(
            stand(rng, person, cloth, x, height)
            for person, cloth, x in zip(setting.people, setting.cloths, spots, strict=False)
        )
        self._last = (self._place, view, "*")
        return Angle(self._place, view, WIDE, figures, talker)
