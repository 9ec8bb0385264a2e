"""What a film will be, before a picture is drawn: frozen values from writer to renderer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

TransitionKind = Literal["start", "cut", "dissolve", "fade_black", "fade_white", "wipe"]
SceneKind = Literal["dialogue", "action", "quiet", "montage", "parallel"]
Layer = Literal["speech", "ambience", "music", "effects"]
SoundTrack = Literal["full", "none", "silent", "music_only", "speech_only"]


@dataclass(frozen=True, slots=True)
class Transition:
    """How a shot begins.

    Attributes:
        kind: ``cut`` is immediate; the others are gradual. No film is written with a ``wipe``;
            they are there to judge shot detectors by.
        before: Frames of the previous shot that already belong to the transition.
        after: Frames of this shot that still belong to it. The shot's first frame is the one
            from which its own picture dominates.
    """

    kind: TransitionKind = "cut"
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class Box:
    """What the camera sees of a view: its centre and how much it is enlarged.

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
    """A camera move from one box to another, eased, with a hand's tremor on top.

    Attributes:
        begin: Box at the shot's first frame.
        end: Box at its last frame.
        shake: Amplitude of the tremor as a fraction of the picture's width.
        phases: Where the tremor's four oscillations start, in turns.
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
        portrait: Which portrait.
        x: Centre, 0 … 1 of the picture's width.
        height: Height of the portrait in picture heights.
        mirrored: Whether it looks the other way.
        cloth: Colour that white clothes are dyed with, 0 … 1 each.
        back: Whether it is only a dark, blurred back at the edge (over the shoulder).
        sway: Amplitude of its movement as a fraction of the picture's width.
        phase: Where that movement starts, in turns.
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
        """The frame after its last one."""
        return self.first + self.frames


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """One scene: a run of shots in one place (or places cut against each other), time, cast."""

    kind: SceneKind
    first: int
    frames: int
    shots: int
    places: tuple[str, ...]
    people: tuple[str, ...]
    relation: Literal["opening", "new_place", "same_place", "return"]

    @property
    def end(self) -> int:
        """The frame after its last one."""
        return self.first + self.frames


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """One sound laid onto the film's time line.

    Attributes:
        layer: What kind of sound.
        path: The file.
        unit: Its recording or speaker.
        start: Seconds from the film's start; may be negative at the opening.
        seconds: How long; the recording is repeated when it is shorter.
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
    """What holds for a whole film.

    Attributes:
        crf: Constant rate factor of H.264, 0 … 51; more is worse.
        preset: Preset of x264.
        b_frames: Bidirectional frames in a row.
        shape: Width by height of the visible picture; bars hide the rest.
        squeeze: Horizontal stretch of the places.
        grain: Standard deviation of film grain in luma steps.
        sound: Which layers are heard.
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
    """A film, complete except for the pixels and samples.

    Attributes:
        name: Base name of its files.
        seed: What every random choice in rendering derives from.
        width: Pixels, even.
        height: Pixels, even.
        rate: Frames a second, exactly.
        style: What holds throughout.
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
        """Exact time of a frame."""
        return frame / self.rate
