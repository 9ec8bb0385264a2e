"""Films of every shape, and with pieces missing."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.acceptance.command import EVERYTHING, Outcome, Tail
from tests.acceptance.films import RATE, SHOT_FRAMES, pictures
from tests.media import Clip, Recipe, Tone, frames_of, still, texture, write_film

SHOTS = 4
CUTS = [1.2, 2.4, 3.6]
SECONDS = 4.8
ALL = ("--threshold", "0", *EVERYTHING)
SOUND_SLOTS = {"speaker", "vggish", "panns", "openl3", "musicnn"}


def absent_slots(shot: dict[str, Any]) -> set[str]:
    return {slot for slot, use in shot["aspects"].items() if use["absent"]}


def absent_experts(boundary: dict[str, Any]) -> set[str]:
    """Names of the experts that had nothing to go by, all weights being in order."""
    voices = boundary["experts"]
    assert sum(voice["weight"] for voice in voices) == pytest.approx(1)
    for voice in voices:
        assert voice["absent"] == (voice["probability"] is None)
        assert not voice["absent"] or voice["weight"] == 0
    return {voice["name"] for voice in voices if voice["absent"]}


def acoustic(boundary: dict[str, Any]) -> set[str]:
    return {v["name"] for v in boundary["experts"] if v["name"].startswith("HLSS_")}


def multimodal(boundary: dict[str, Any]) -> set[str]:
    return {v["name"] for v in boundary["experts"] if v["name"].startswith("MME_")}


def whole(done: Outcome, shots: int = SHOTS) -> Outcome:
    """Every shot closed and every boundary decided exactly once."""
    assert done.code == 0, done.errors
    assert "Traceback" not in done.errors
    assert [shot["shot_index"] for shot in done.shots] == list(range(shots))
    assert [b["boundary_index"] for b in done.boundaries] == list(range(shots - 1))
    assert sum(scene["scene"]["shots"] for scene in done.scenes) == shots
    return done


def film(path: Path, recipe: Recipe, **more: Any) -> Path:
    write_film(path, pictures(SHOTS, SHOT_FRAMES, **more), recipe)
    return path


def test_without_sound_and_with_silence_the_picture_decides(tail: Tail, tmp_path: Path) -> None:
    mute = whole(tail(film(tmp_path / "mute.mkv", Recipe()), *ALL))
    silence = Tone(SECONDS, codec="pcm_s16le", level=0.0)
    silent = whole(tail(film(tmp_path / "silent.mkv", Recipe(sound=silence)), *ALL))
    assert "no sound" in mute.errors
    for done in (mute, silent):
        assert all(absent_slots(shot) == SOUND_SLOTS for shot in done.shots)
        assert all(absent_experts(b) == acoustic(b) != set() for b in done.boundaries)
        assert all(score > 0 for score in done.scores)
    assert silent.scores == pytest.approx(mute.scores, abs=1e-5)


def test_sound_that_begins_late_and_sound_that_ends_early(tail: Tail, tmp_path: Path) -> None:
    late = Recipe(sound=Tone(4.8, start=9.6, codec="pcm_s16le"))
    write_film(tmp_path / "late.mkv", pictures(12), late)
    done = whole(tail(tmp_path / "late.mkv", *ALL), 12)
    heard = [SOUND_SLOTS - absent_slots(shot) for shot in done.shots]
    assert heard == [set()] * 8 + [SOUND_SLOTS] * 4
    assert [bool(absent_experts(b)) for b in done.boundaries] == [True] * 8 + [False] * 3

    early = Recipe(sound=Tone(4.8, codec="pcm_s16le"))
    write_film(tmp_path / "early.mkv", pictures(12), early)
    done = whole(tail(tmp_path / "early.mkv", *ALL), 12)
    heard = [SOUND_SLOTS - absent_slots(shot) for shot in done.shots]
    assert heard == [SOUND_SLOTS] * 4 + [set()] * 8


def test_pictures_that_begin_ten_seconds_after_the_sound(tail: Tail, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", Recipe(start=10_000 // 40, sound=Tone(14.8)))
    done = whole(tail(path, *ALL), 7)
    ends = ["window", "window", "cut", "cut", "cut", "cut", "end"]
    assert [shot["ended_by"] for shot in done.shots] == ends
    starts = [0, 4, 8, 10, 11.2, 12.4, 13.6]
    assert [shot["seconds"] for shot in done.shots] == pytest.approx(starts, abs=0.05)
    assert [absent_slots(shot) for shot in done.shots] == [{"place"}] * 3 + [set()] * 4
    for number, boundary in enumerate(done.boundaries):
        assert absent_experts(boundary) == (multimodal(boundary) if number < 3 else set())
    assert done.shots[0]["latency"]["media_seconds"] == pytest.approx(3, abs=0.1)


def test_sound_that_leads_a_little_belongs_to_no_shot(tail: Tail, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", Recipe(start=50, sound=Tone(6.8)))
    done = whole(tail(path, *ALL))
    assert done.shots[0]["seconds"] == 0
    assert done.shots[0]["pts"] == 2000
    assert [absent_slots(shot) for shot in done.shots] == [set()] * 4


@pytest.mark.parametrize(
    ("name", "tone"),
    [
        ("speech.wav", Tone(10.0, codec="pcm_s16le", rate=16000)),
        ("music.mp3", Tone(10.0, codec="mp3", rate=44100, layout="stereo")),
        ("music.m4a", Tone(10.0, codec="aac")),
        ("music.flac", Tone(10.0, codec="flac", rate=96000)),
    ],
)
def test_sound_alone_is_split_in_fixed_windows(
    tail: Tail, tmp_path: Path, name: str, tone: Tone
) -> None:
    write_film(tmp_path / name, (), Recipe(codec=None, sound=tone))
    done = whole(tail(tmp_path / name, *ALL), 3)
    assert "no picture" in done.errors
    assert [shot["ended_by"] for shot in done.shots] == ["window", "window", "end"]
    assert [b["seconds"] for b in done.boundaries] == pytest.approx([4.0, 8.0], abs=1e-4)
    assert done.shots[-1]["end_seconds"] == pytest.approx(10.0, abs=0.1)
    assert all(absent_slots(shot) == {"place"} for shot in done.shots)
    assert all(absent_experts(b) == multimodal(b) != set() for b in done.boundaries)
    assert done.boundaries[0]["timecode"].startswith("00:00:0")


@pytest.mark.parametrize(
    ("layout", "rate"),
    [("mono", 8000), ("stereo", 11025), ("5.1", 48000), ("stereo", 96000), ("7.1", 44100)],
)
def test_sound_of_any_rate_and_layout(tail: Tail, tmp_path: Path, layout: str, rate: int) -> None:
    tone = Tone(SECONDS, codec="pcm_s16le", rate=rate, layout=layout)
    done = whole(tail(film(tmp_path / "film.mkv", Recipe(sound=tone)), *ALL))
    assert all(absent_slots(shot) == set() for shot in done.shots)
    assert all(absent_experts(b) == set() for b in done.boundaries)


B_FRAMES = {"bf": "3", "g": "50", "preset": "ultrafast", "b-adapt": "0", "x264-params": "bframes=3"}
SHAPES: dict[str, tuple[str, Recipe, dict[str, int]]] = {
    "B-frames": ("film.mp4", Recipe(codec="libx264", options=B_FRAMES), {}),
    "a start that is not 0": ("film.ts", Recipe(codec="mpeg2video", start=900), {}),
    "10 bits": (
        "film.mkv",
        Recipe(codec="libx265", pixel_format="yuv420p10le", options={"preset": "ultrafast"}),
        {},
    ),
    "an odd size": (
        "film.mkv",
        Recipe(codec="ffv1", pixel_format="yuv444p"),
        {"width": 97, "height": 53},
    ),
    "16 x 16": ("film.mkv", Recipe(), {"width": 16, "height": 16}),
    "grey": ("film.mkv", Recipe(codec="ffv1", pixel_format="gray"), {}),
    "RGB with alpha": ("film.mkv", Recipe(codec="ffv1", pixel_format="bgra"), {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_of_any_shape(tail: Tail, tmp_path: Path, shape: str) -> None:
    name, recipe, size = SHAPES[shape]
    done = whole(tail(film(tmp_path / name, recipe, **size), *ALL))
    assert [b["seconds"] for b in done.boundaries] == pytest.approx(CUTS, abs=1e-9)
    assert done.shots[0]["seconds"] == 0


def test_variable_frame_rate_is_told_in_exact_ticks(tail: Tail, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    ticks = np.concatenate(([0], np.cumsum(rng.integers(20, 80, SHOTS * SHOT_FRAMES - 1))))
    recipe = Recipe(time_base=Fraction(1, 1000), times=[int(t) for t in ticks], start=500)
    done = whole(tail(film(tmp_path / "film.mkv", recipe), *ALL))
    starts = [int(ticks[shot * SHOT_FRAMES]) for shot in range(SHOTS)]
    assert [(s["pts"], s["time_base"]) for s in done.shots] == [(t + 500, "1/1000") for t in starts]
    assert [s["seconds"] for s in done.shots] == [t / 1000 for t in starts]


def test_a_size_that_changes_on_the_way(tail: Tail, tmp_path: Path) -> None:
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    recipe = Recipe(codec="mpeg2video")
    write_film(small, pictures(2, width=160, height=90), recipe)
    write_film(large, pictures(2, seed=2), replace(recipe, start=60))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    done = whole(tail(both, *ALL))
    assert [b["seconds"] for b in done.boundaries] == pytest.approx(CUTS, abs=0.05)


def test_a_turned_film_is_seen_upright(tail: Tail, tmp_path: Path) -> None:
    recipe = Recipe(codec="libx264", options={"qp": "0", "preset": "ultrafast"})
    upright = film(tmp_path / "film.mp4", recipe)
    lying = tmp_path / "lying.mp4"
    write_film(lying, (np.ascontiguousarray(np.rot90(p)) for p in pictures(SHOTS)), recipe)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(turn(lying.read_bytes()))
    expected = voices(whole(tail(upright, *ALL)))
    astray = [np.abs(voices(whole(tail(path, *ALL))) - expected) for path in (turned, lying)]
    # Not the same to the digit: colour is stored at half the size along other sides.
    assert astray[0].mean() < astray[1].mean() / 2


def voices(done: Outcome) -> NDArray[np.float64]:
    """Every present expert's probability at every boundary."""
    return np.array(
        [[v["probability"] for v in b["experts"] if not v["absent"]] for b in done.boundaries]
    )


def turn(mp4: bytes) -> bytes:
    """Marks the picture of a film as to be shown a quarter turn clockwise."""
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    at = mp4.index(upright, mp4.index(b"tkhd"))
    return mp4[:at] + clockwise + mp4[at + len(clockwise) :]


def test_a_frozen_picture_is_closed_in_time_and_never_a_boundary(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER__SHOTS__MAX_SECONDS", "2.5")
    clips = [
        Clip(still(texture(1, 320, 180)), 200),
        Clip(still(texture(2, 320, 180)), 30),
        Clip(still(texture(3, 320, 180)), 30),
    ]
    path = tmp_path / "film.mkv"
    write_film(path, frames_of(clips, RATE), Recipe(sound=Tone(10.4)))
    done = tail(path, *ALL)
    ends = ["forced", "forced", "forced", "cut", "cut", "end"]
    assert [shot["ended_by"] for shot in done.shots] == ends
    assert all(shot["end_seconds"] - shot["seconds"] <= 2.54 for shot in done.shots)
    assert [b["boundary_index"] for b in done.boundaries] == [3, 4]
    assert [b["seconds"] for b in done.boundaries] == [8.0, 9.2]
    assert [scene["scene"]["shots"] for scene in done.scenes] == [4, 1, 1]
