"""Pictures that stop while the sound goes on, and those that come back."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from streamer.connectors.sources.file import FileSource
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.pipeline.embedder import ShotEmbedder
from streamer.shots.base import ShotOptions
from streamer.timeline import EmbeddedShot, Picture
from tests.media import Clip, Recipe, Tone, frames_of, still, texture, write_film

SHOTS = ShotOptions(max_seconds=4.0, sound_only_seconds=2.0)
DECODE = DecodeOptions(threads=1)


def embed(path: Path) -> tuple[list[EmbeddedShot], list[tuple[float, float, str]], list[int]]:
    with Decoder(FileSource(path), DECODE) as decoder:
        embedder = ShotEmbedder(decoder.info, (), SHOTS, max_interleave=1.0)
        early: list[EmbeddedShot] = []
        for item in decoder:
            early += embedder.push(item)
        shots = [*early, *embedder.finish()]
    told: list[tuple[float, float, str]] = [
        (float(s.shot.start.seconds), float(s.shot.end.seconds), s.shot.ended_by) for s in shots
    ]
    return early, told, [s.shot.index for s in shots]


def film(path: Path, times: list[int], seconds: float) -> None:
    clips = [Clip(still(texture(k, 96, 64)), 25) for k in range(-(-len(times) // 25))]
    pictures = list(frames_of(clips, Fraction(25)))[: len(times)]
    recipe = Recipe(codec="libx264", options={"bf": "0"}, times=times, sound=Tone(seconds))
    write_film(path, pictures, recipe)


def test_the_last_shot_is_closed_and_windows_go_on(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", list(range(50)), 20.0)
    early, told, indices = embed(tmp_path / "a.mkv")
    assert [ended for _, _, ended in told[:2]] == ["cut", "cut"]
    assert told[0][1] == pytest.approx(1.0, abs=0.04)
    assert told[1][1] == pytest.approx(2.0, abs=0.04)
    assert {ended for _, _, ended in told[2:-1]} == {"window"}
    assert told[-1][1] == pytest.approx(20.0, abs=0.1)
    # Without a hole, counted on, and while the sound was still running.
    assert all(a[1] == b[0] for a, b in pairwise(told))
    assert indices == list(range(len(told)))
    assert len(early) > 5


def test_pictures_may_come_back(tmp_path: Path) -> None:
    times = [*range(50), *range(400, 450)]
    film(tmp_path / "a.mkv", times, 18.0)
    _, told, indices = embed(tmp_path / "a.mkv")
    assert all(a[1] == b[0] for a, b in pairwise(told))
    assert indices == list(range(len(told)))
    assert 16.0 in [pytest.approx(start, abs=0.04) for start, _, _ in told]
    assert told[-1][1] == pytest.approx(18.0, abs=0.1)


def test_one_picture_that_is_shown_long_is_no_end(tmp_path: Path) -> None:
    # A slide every three seconds: pictures are rare and never away.
    film(tmp_path / "a.mkv", [75 * k for k in range(6)], 16.0)
    with Decoder(FileSource(tmp_path / "a.mkv"), DECODE) as decoder:
        shown = sum(isinstance(item, Picture) for item in decoder)
    _, told, _ = embed(tmp_path / "a.mkv")
    assert shown == 6
    assert "window" not in {ended for _, _, ended in told}


@pytest.mark.parametrize("seconds", [2.6, 5.0, 8.3, 30.0, 70.0])
@pytest.mark.parametrize("pictures", [1, 50])
def test_all_sound_behind_the_last_picture_is_in_a_window(
    tmp_path: Path, pictures: int, seconds: float
) -> None:
    """A cover picture as a plain stream, and films whose sound goes on."""
    film(tmp_path / "a.mkv", list(range(pictures)), seconds)
    _, told, indices = embed(tmp_path / "a.mkv")
    last = [shot for shot in told if shot[2] not in ("window", "end")][-1]
    assert last[1] == pytest.approx(pictures / 25, abs=0.041)
    assert all(a[1] == b[0] for a, b in pairwise(told))
    assert indices == list(range(len(told)))
    assert told[-1][1] == pytest.approx(seconds, abs=0.1)
    assert told[-1][2] == "end"
    windows = [end - start for start, end, kind in told if kind == "window"]
    assert windows == pytest.approx([2.0] * len(windows), abs=0.03)
    assert len(windows) >= (seconds - pictures / 25) // 2 - 1
    assert told[-1][1] - told[-1][0] <= 2.03


def test_sound_that_ends_a_little_later_makes_no_window(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", list(range(50)), 2.3)
    _, told, _ = embed(tmp_path / "a.mkv")
    assert [kind for _, _, kind in told] == ["cut", "end"]
    assert told[-1][1] == pytest.approx(2.0, abs=0.04)
