"""Camera set-ups inside one scene: what is seen, who is seen, who speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from streamer.models.compose.draw import between, chance, pick, weighted
from streamer.models.compose.plan import Figure
from streamer.models.compose.staging import CLOSE, MEDIUM, WIDE, over_the_shoulder, stand

if TYPE_CHECKING:
    from numpy.random import Generator

    from streamer.models.compose.library import Person, Place
    from streamer.models.compose.plan import Look, SceneKind


@dataclass(frozen=True, slots=True)
class Setting:
    """What a scene keeps fixed while its shots are drawn."""

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
    """Draws the set-ups of one scene so that neighbouring shots never look the same.

    Args:
        rng: Source of chance.
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
        """The set-up of the scene's shot ``index``."""
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
