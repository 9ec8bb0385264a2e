"""Plan the sound of a film.

Sound follows the scenes without marking their boundaries exactly: dialogue leads or trails the cut,
ambience changes before or after the picture, music ends with a scene, continues into the next, is
absent, or changes in the middle of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from numpy.random import Generator

from streamer.models.compose.draw import Deck, between, chance, pick, weighted
from streamer.models.compose.library import Library, Recording
from streamer.models.compose.plan import (
    Layer,
    SceneKind,
    ScenePlan,
    ShotPlan,
    SoundEvent,
    SoundTrack,
)

MUSIC_LIKELY: dict[SceneKind, float] = {
    "dialogue": 0.3,
    "action": 0.75,
    "quiet": 0.4,
    "montage": 1.0,
    "parallel": 0.6,
}
EFFECTS_A_SECOND: dict[SceneKind, float] = {
    "dialogue": 0.03,
    "action": 0.25,
    "quiet": 0.06,
    "montage": 0.02,
    "parallel": 0.08,
}
HEARD: dict[SoundTrack, frozenset[Layer]] = {
    "full": frozenset({"speech", "ambience", "music", "effects"}),
    "none": frozenset(),
    "silent": frozenset(),
    "music_only": frozenset({"music"}),
    "speech_only": frozenset({"speech"}),
}
LONGEST_OFFSET = 60.0


@dataclass(frozen=True, slots=True)
class Cue:
    """A running piece of music."""

    piece: Recording
    start: float
    offset: float
    level: float


class SoundWriter:
    """Draws the sounds of a film.

    Args:
        library: Side of the media that the pictures come from.
        rng: Random generator.
        rate: Frames a second.
        track: Layers heard.
        cast: Names of everyone who may speak, so that each keeps one voice.
    """

    def __init__(
        self,
        library: Library,
        rng: Generator,
        rate: Fraction,
        track: SoundTrack,
        cast: Sequence[str],
    ) -> None:
        self._library = library
        self._rng = rng
        self._rate = rate
        self._heard = HEARD[track]
        self._voices = self._cast_voices(cast)
        self._music = Deck(rng, len(library.music)) if library.music else None
        self._ambience = Deck(rng, len(library.ambience)) if library.ambience else None
        self._of_place: dict[str, Recording] = {}
        self._rooms: dict[str, float] = {}
        self._loves_music = pick(rng, (0.0, 0.5, 1.0, 1.0, 1.4))
        self._silent_after: dict[str, float] = {}
        self._events: list[SoundEvent] = []

    def write(
        self, scenes: Sequence[ScenePlan], shots: Sequence[ShotPlan]
    ) -> tuple[SoundEvent, ...]:
        """Draw all sounds, sorted by start."""
        edges = self._edges(scenes)
        quiet = self._silences(len(scenes))
        self._score(scenes, quiet)
        for index, scene in enumerate(scenes):
            if index in quiet:
                continue
            inside = [shot for shot in shots if shot.scene == index]
            loudness = self._rng.normal(0.0, 2.5)
            self._lay_ambience(scene, inside, edges[index], edges[index + 1], loudness)
            self._lay_speech(scene, inside, loudness)
            self._lay_effects(scene, loudness)
        heard = [e for e in self._events if e.layer in self._heard]
        return tuple(sorted(heard, key=lambda e: (e.start, e.end, e.path.name)))

    def _seconds(self, frame: int) -> float:
        return float(frame / self._rate)

    def _cast_voices(self, cast: Sequence[str]) -> dict[str, Recording]:
        speech = self._library.speech
        by_speaker: dict[str, list[Recording]] = {}
        for recording in speech:
            by_speaker.setdefault(recording.unit, []).append(recording)
        speakers = sorted(by_speaker)
        if not speakers:
            return {}
        order = self._rng.permutation(len(speakers))
        return {
            person: pick(self._rng, by_speaker[speakers[int(order[i % len(speakers)])]])
            for i, person in enumerate(cast)
        }

    def _edges(self, scenes: Sequence[ScenePlan]) -> list[float]:
        """Draw the start of each scene's sound: at, before (J) or after (L) its first picture."""
        rng = self._rng
        edges = [0.0]
        for scene in scenes[1:]:
            start, shift = self._seconds(scene.first), 0.0
            if chance(rng, 0.5):
                shift = between(rng, 0.2, 1.8) * (1 if chance(rng, 0.5) else -1)
            edges.append(max(start + shift, edges[-1] + 0.5))
        return [*edges, self._seconds(scenes[-1].end)]

    def _silences(self, scenes: int) -> frozenset[int]:
        """Draw scenes without own sound: in a quarter of the films, one or two in a row."""
        rng = self._rng
        if scenes < 6 or not chance(rng, 0.25):
            return frozenset()
        first = int(rng.integers(scenes - 1))
        return frozenset(range(first, first + int(rng.integers(1, 3))))

    def _score(self, scenes: Sequence[ScenePlan], quiet: frozenset[int]) -> None:
        rng, deck = self._rng, self._music
        if deck is None:
            return
        cue: Cue | None = None
        for index, scene in enumerate(scenes):
            start, end = self._seconds(scene.first), self._seconds(scene.end)
            if cue is None and index not in quiet:
                if not chance(rng, MUSIC_LIKELY[scene.kind] * self._loves_music):
                    continue
                shift = (
                    between(rng, -1.5, 0.5)
                    if chance(rng, 0.7)
                    else between(rng, 0, 0.4) * (end - start)
                )
                cue = self._cue(start + shift, scene.kind)
            if cue is None:
                continue
            if end - start > 30 and chance(rng, 0.2):
                turn = start + (end - start) * between(rng, 0.35, 0.65)
                self._stop(cue, turn)
                cue = self._cue(turn, scene.kind)
            last = index == len(scenes) - 1
            if not last and index not in quiet and chance(rng, 0.2):
                continue
            stop = end + between(rng, -0.5, 1.5)
            if chance(rng, 0.2):
                stop = start + (end - start) * between(rng, 0.4, 0.9)
            self._stop(cue, stop)
            cue = None

    def _cue(self, start: float, kind: SceneKind) -> Cue:
        assert self._music is not None
        level = {"dialogue": -33.0, "parallel": -30.0}.get(kind, -25.0)
        return Cue(
            self._library.music[self._music.deal()],
            start,
            between(self._rng, 0.0, LONGEST_OFFSET),
            level + self._rng.normal(0.0, 2.5),
        )

    def _stop(self, cue: Cue, end: float) -> None:
        if end - cue.start < 1.0:
            return
        rng = self._rng
        self._events.append(
            SoundEvent(
                layer="music",
                path=cue.piece.path,
                unit=cue.piece.unit,
                start=cue.start,
                seconds=end - cue.start,
                offset=cue.offset,
                level=cue.level,
                fade_in=between(rng, 0.05, 2.0),
                fade_out=between(rng, 0.1, 2.5),
            )
        )

    def _place_sound(self, place: str, fresh: bool) -> Recording | None:
        if self._ambience is None:
            return None
        if fresh or place not in self._of_place:
            self._of_place[place] = self._library.ambience[self._ambience.deal()]
        return self._of_place[place]

    def _room(self, place: str) -> float:
        if place not in self._rooms:
            self._rooms[place] = weighted(self._rng, {0.0: 0.35, 0.25: 0.3, 0.5: 0.2, 1.1: 0.15})
        return self._rooms[place]

    def _lay_ambience(
        self,
        scene: ScenePlan,
        shots: Sequence[ShotPlan],
        start: float,
        end: float,
        loudness: float,
    ) -> None:
        rng = self._rng
        if not shots or chance(rng, 0.08):
            return
        runs = [(scene.places[0], start, end)]
        if len(scene.places) > 1 and chance(rng, 0.6):
            # Between intercut places, the sound changes with the picture.
            runs = []
            for shot in shots:
                at = max(self._seconds(shot.first), start)
                if runs and runs[-1][0] == shot.place:
                    continue
                if runs:
                    runs[-1] = (*runs[-1][:2], at)
                runs.append((shot.place, at if runs else start, end))
        level = between(rng, -42.0, -27.0) + loudness
        for place, first, last in runs:
            recording = self._place_sound(place, fresh=scene.relation == "same_place")
            if recording is None or last - first < 0.2:
                continue
            fade = between(rng, 0.02, 0.6)
            self._events.append(
                SoundEvent(
                    layer="ambience",
                    path=recording.path,
                    unit=recording.unit,
                    start=first,
                    seconds=last - first + fade,
                    offset=between(rng, 0.0, LONGEST_OFFSET),
                    level=level,
                    fade_in=fade,
                    fade_out=fade,
                    pan=between(rng, -0.3, 0.3),
                )
            )

    def _lay_speech(self, scene: ScenePlan, shots: Sequence[ShotPlan], loudness: float) -> None:
        """Add one line for every run of shots with one speaker; its ends do not match the cuts."""
        rng = self._rng
        runs: list[tuple[str, int, int]] = []
        for shot in shots:
            if shot.talker is None:
                continue
            if runs and runs[-1][0] == shot.talker and runs[-1][2] == shot.first:
                runs[-1] = (shot.talker, runs[-1][1], shot.end)
            else:
                runs.append((shot.talker, shot.first, shot.end))
        if not runs and scene.people and scene.kind in ("quiet", "montage") and chance(rng, 0.3):
            # A narrator, whose line may continue into the next scene.
            runs = [(pick(rng, scene.people), scene.first, scene.end)]
        speed = {talker: rng.normal(1.0, 0.015) for talker in sorted({r[0] for r in runs})}
        free = self._seconds(scene.first) - 1.5
        for talker, first, last in runs:
            voice = self._voices.get(talker)
            if voice is None:
                continue
            lead = min(max(rng.normal(0.0, 0.4), -1.2), 0.9)
            trail = min(max(rng.normal(-0.1, 0.45), -1.0), 1.2)
            start = max(
                self._seconds(first) + lead,
                free + between(rng, 0.0, 0.25),
                # Scenes may overlap in sound, but not two lines of one speaker.
                self._silent_after.get(voice.unit, 0.0),
            )
            end = self._seconds(last) + trail
            if end - start < 0.4:
                continue
            free = self._silent_after[voice.unit] = end
            self._events.append(
                SoundEvent(
                    layer="speech",
                    path=voice.path,
                    unit=voice.unit,
                    start=start,
                    seconds=end - start,
                    offset=between(rng, 0.0, LONGEST_OFFSET),
                    level=-24.0 + loudness + rng.normal(0.0, 1.0),
                    fade_in=0.03,
                    fade_out=0.05,
                    speed=min(max(speed[talker], 0.94), 1.06),
                    room=self._room(scene.places[0]),
                )
            )

    def _lay_effects(self, scene: ScenePlan, loudness: float) -> None:
        rng, effects = self._rng, self._library.effects
        if not effects:
            return
        kinds = [pick(rng, effects) for _ in range(int(rng.integers(1, 4)))]
        start, end = self._seconds(scene.first), self._seconds(scene.end)
        count = int(rng.poisson(EFFECTS_A_SECOND[scene.kind] * (end - start)))
        for _ in range(count):
            effect = pick(rng, kinds)
            self._events.append(
                SoundEvent(
                    layer="effects",
                    path=effect.path,
                    unit=effect.unit,
                    start=between(rng, start, end),
                    seconds=between(rng, 0.6, 4.0),
                    offset=0.0,
                    level=between(rng, -34.0, -20.0) + loudness,
                    fade_in=0.01,
                    fade_out=0.2,
                    room=self._room(scene.places[0]),
                    pan=between(rng, -0.7, 0.7),
                )
            )
