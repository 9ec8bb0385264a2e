"""Describe a film before it is rendered, and write its annotations."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from streamer.models.compose.library import Library, Side

TransitionKind = Literal["start", "cut", "dissolve", "fade_black", "fade_white", "wipe"]
SceneKind = Literal["dialogue", "action", "quiet", "montage", "parallel"]
Layer = Literal["speech", "ambience", "music", "effects"]
SoundTrack = Literal["full", "none", "silent", "music_only", "speech_only"]


@dataclass(frozen=True, slots=True)
class Transition:
    """Transition at the start of a shot.

    Attributes:
        kind: ``cut`` is immediate; the others are gradual. No film is written with a ``wipe``;
            they serve to test shot detectors.
        before: Frames of the previous shot that already belong to the transition.
        after: Frames of this shot that still belong to it. The shot's first frame is the one
            from which its own picture dominates.
    """

    kind: TransitionKind = "cut"
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class Box:
    """Crop of a view seen by the camera.

    Attributes:
        x: Centre, 0 … 1 of the view's width.
        y: Centre, 0 … 1 of the view's height.
        zoom: 1 shows as much of the view as fits the film's shape.
    """

    x: float
    y: float
    zoom: float


@dataclass(frozen=True, slots=True)
class Move:
    """Camera move from one box to another, eased, with the tremor of a hand-held camera.

    Attributes:
        begin: Box at the shot's first frame.
        end: Box at its last frame.
        shake: Amplitude of the tremor as a fraction of the picture's width.
        phases: Initial phases of the tremor's four oscillations, in turns.
    """

    begin: Box
    end: Box
    shake: float = 0.0
    phases: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """A person in front of the view.

    Attributes:
        person: Name of the person.
        portrait: Index of the portrait.
        x: Centre, 0 … 1 of the picture's width.
        height: Height of the portrait in picture heights.
        mirrored: Whether the portrait is mirrored.
        cloth: Colour that white clothes are dyed with, 0 … 1 each.
        back: Whether it is only a dark, blurred back at the edge (over the shoulder).
        sway: Amplitude of its movement as a fraction of the picture's width.
        phase: Initial phase of that movement, in turns.
    """

    person: str
    portrait: int
    x: float
    height: float
    mirrored: bool
    cloth: tuple[float, float, float]
    back: bool = False
    sway: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """Colour grading.

    Attributes:
        gains: Factors of red, green and blue.
        saturation: 0 is black and white, 1 leaves colours alone.
        contrast: Slope about middle grey.
        gamma: Exponent of the tone curve; above 1 darkens.
        lift: Added to everything, 0 … 1.
    """

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    lift: float = 0.0


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """One shot.

    Attributes:
        scene: Index of the scene it belongs to.
        first: Its first frame in the film.
        frames: Its length; ``first + frames`` is the next shot's first frame.
        place: Name of the place.
        view: Index of the view of the place.
        mirrored: Whether this film shows the place mirrored.
        move: The camera.
        figures: People, back to front.
        talker: Name of the person who speaks during it, shown or not.
        look: Colour grading.
        blur: Radius by which the background is out of focus, in 1/1000 of the picture's width.
        flashes: ``(first, frames)`` of flashes, counted from the shot's first frame.
        transition: How it begins.
    """

    scene: int
    first: int
    frames: int
    place: str
    view: int
    mirrored: bool
    move: Move
    figures: tuple[Figure, ...]
    talker: str | None
    look: Look
    blur: float
    flashes: tuple[tuple[int, int], ...]
    transition: Transition

    @property
    def end(self) -> int:
        """Frame after its last one."""
        return self.first + self.frames


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """One scene: a run of shots with the same place (or intercut places), time and cast."""

    kind: SceneKind
    first: int
    frames: int
    shots: int
    places: tuple[str, ...]
    people: tuple[str, ...]
    relation: Literal["opening", "new_place", "same_place", "return"]

    @property
    def end(self) -> int:
        """Frame after its last one."""
        return self.first + self.frames


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """One sound on the film's time line.

    Attributes:
        layer: Kind of sound.
        path: The file.
        unit: Its recording or speaker.
        start: Seconds from the film's start; may be negative at the opening.
        seconds: Length; a shorter recording is looped.
        offset: Seconds into the recording, modulo its length.
        level: Loudness in dB relative to full scale (RMS).
        fade_in: Seconds.
        fade_out: Seconds.
        speed: Playback rate, so also pitch.
        room: Reverberation time in seconds; 0 is dry.
        pan: -1 left … 1 right.
    """

    layer: Layer
    path: Path
    unit: str
    start: float
    seconds: float
    offset: float
    level: float
    fade_in: float
    fade_out: float
    speed: float = 1.0
    room: float = 0.0
    pan: float = 0.0

    @property
    def end(self) -> float:
        """Seconds from the film's start."""
        return self.start + self.seconds


@dataclass(frozen=True, slots=True)
class Style:
    """Style of a whole film.

    Attributes:
        crf: Constant rate factor of H.264, 0 … 51; more is worse.
        preset: Preset of x264.
        b_frames: Bidirectional frames in a row.
        shape: Width by height of the visible picture; bars hide the rest.
        squeeze: Horizontal stretch of the places.
        grain: Standard deviation of film grain in luma steps.
        sound: Layers heard.
        sound_codec: ``aac`` or ``mp3``.
        sample_rate: Hz.
        bit_rate: Bits a second of the sound.
        stereo: Two channels or one.
        cutoff: Highest frequency of all sound in Hz.
        gain: Loudness of the whole film in dB.
    """

    crf: int
    preset: str
    b_frames: int
    shape: float
    squeeze: float
    grain: float
    sound: SoundTrack
    sound_codec: Literal["aac", "mp3"]
    sample_rate: int
    bit_rate: int
    stereo: bool
    cutoff: float
    gain: float


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """Complete description of a film, before any picture or sound is rendered.

    Attributes:
        name: Base name of its files.
        seed: Seed of every random choice in rendering.
        width: Pixels, even.
        height: Pixels, even.
        rate: Frames a second, exactly.
        style: Style of the film.
        scenes: In order; they tile the film.
        shots: In order; they tile the film.
        sounds: By start.
    """

    name: str
    seed: tuple[int, ...]
    width: int
    height: int
    rate: Fraction
    style: Style
    scenes: tuple[ScenePlan, ...]
    shots: tuple[ShotPlan, ...]
    sounds: tuple[SoundEvent, ...]

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.shots[-1].end

    def seconds(self, frame: int) -> Fraction:
        """Return the exact time of a frame."""
        return frame / self.rate


FORMAT = 1


def write_scenes(film: FilmPlan, path: Path) -> None:
    """Write one row a scene: ``start,end`` in seconds of the film."""
    rows = ([_seconds(film, s.first), _seconds(film, s.end)] for s in film.scenes)
    _write(path, ("start", "end"), rows)


def write_shots(film: FilmPlan, path: Path) -> None:
    """Write one row a shot: ``start,end,scene,transition,before,after``.

    ``transition`` is the kind at the start of the shot; a gradual one begins ``before`` seconds
    before ``start`` and ends ``after`` seconds after it.
    """
    rows = (
        [
            _seconds(film, s.first),
            _seconds(film, s.end),
            str(s.scene),
            s.transition.kind,
            _seconds(film, s.transition.before),
            _seconds(film, s.transition.after),
        ]
        for s in film.shots
    )
    _write(path, ("start", "end", "scene", "transition", "before", "after"), rows)


def describe(film: FilmPlan, library: Library, side: Side | None) -> dict[str, object]:
    """Describe a film and its media as plain JSON values.

    Args:
        film: The plan.
        library: Side of the media that it was drawn from.
        side: Name of that side; None where the media were not split.
    """
    places = {s.place for s in film.shots}
    people = {f.person for s in film.shots for f in s.figures}
    return {
        "format": FORMAT,
        "name": film.name,
        "seed": list(film.seed),
        "split": side,
        "width": film.width,
        "height": film.height,
        "rate": f"{film.rate.numerator}/{film.rate.denominator}",
        "frames": film.frames,
        "style": _describe_style(film.style),
        "units": {
            "places": sorted({p.unit for p in library.places if p.name in places}),
            "people": sorted({p.unit for p in library.people if p.name in people}),
            **{
                name: sorted({e.unit for e in film.sounds if e.layer == name})
                for name in ("speech", "ambience", "music", "effects")
            },
        },
        "places": sorted(places),
        "scenes": [
            {
                "start": _seconds(film, s.first),
                "end": _seconds(film, s.end),
                "shots": s.shots,
                "kind": s.kind,
                "relation": s.relation,
                "places": list(s.places),
                "people": list(s.people),
            }
            for s in film.scenes
        ],
        "sounds": [
            {
                "layer": e.layer,
                "file": e.path.name,
                "start": round(e.start, 3),
                "end": round(e.end, 3),
                "level": round(e.level, 2),
            }
            for e in film.sounds
        ],
    }


def _describe_style(style: Style) -> dict[str, object]:
    return {
        "crf": style.crf,
        "preset": style.preset,
        "shape": round(style.shape, 4),
        "grain": round(style.grain, 3),
        "sound": style.sound,
        "sound_codec": style.sound_codec,
        "sample_rate": style.sample_rate,
        "bit_rate": style.bit_rate,
        "stereo": style.stereo,
        "cutoff": style.cutoff,
        "gain": round(style.gain, 3),
    }


def write_description(facts: Mapping[str, object], path: Path) -> None:
    """Write facts as JSON with sorted keys."""
    path.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", "utf-8")


def _seconds(film: FilmPlan, frame: int) -> str:
    return f"{float(film.seconds(frame)):.6f}"


def _write(path: Path, header: tuple[str, ...], rows: Iterable[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
