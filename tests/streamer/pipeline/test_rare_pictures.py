"""Slides, screens and slow cameras with sound: every picture counts, whatever its place in a file.

Encoders look ahead by 40 pictures, and decoders hold one back for each thread, so that sound may
lie minutes before its picture.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from streamer.connectors.sources.file import FileSource
from streamer.decode import packets
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.pipeline.embedder import ShotEmbedder
from streamer.timeline import Picture, Sound
from tests.decoding import SETTINGS
from tests.media import Clip, Recipe, Tone, frames_of, still, texture, write_film

RATES = (Fraction(1, 5), Fraction(1, 2), Fraction(1), Fraction(3))
PICTURES = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rare")


def encoded(folder: Path, rate: Fraction, name: str) -> Path:
    """A slide every three pictures, with sound throughout, as FFmpeg's command lays it out."""
    path = folder / f"{float(rate)}-{name}"
    if path.exists():
        return path
    pictures, sound = folder / "pictures.mkv", folder / "sound.wav"
    clips = [Clip(still(texture(k, 96, 64)), 3) for k in range(PICTURES // 3)]
    write_film(pictures, frames_of(clips, rate), Recipe(rate=rate, codec="ffv1"))
    seconds = float(PICTURES / rate)
    write_film(sound, [], Recipe(codec=None, sound=Tone(seconds, codec="pcm_s16le")))
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(pictures), "-i", str(sound)]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    if path.suffix == ".flv":
        # Its muxer gives up on sound that comes so early.
        command = ["ffmpeg", "-v", "error", "-i", str(encoded(folder, rate, "a.ts")), "-c", "copy"]
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    return path


def shots(path: Path, threads: int) -> tuple[int, list[tuple[float, float, str]]]:
    settings = DecodeOptions(threads=threads)
    with Decoder(FileSource(path), settings) as decoder:
        embedder = ShotEmbedder(decoder.info)
        found, seen = [], 0
        for item in decoder:
            seen += isinstance(item, Picture)
            found += embedder.push(item)
        found += embedder.finish()
    return seen, [
        (float(each.shot.start.seconds), float(each.shot.end.seconds), each.shot.ended_by)
        for each in found
    ]


# Slower than that, FFmpeg does not find the pictures of a Flash film behind the sound.
FILES = [(name, rate) for name in ("a.mkv", "a.ts", "a.mp4") for rate in RATES]


@pytest.mark.parametrize(("name", "rate"), [*FILES, ("a.flv", RATES[-1])])
def test_shots_depend_on_neither_threads_nor_interleave(
    folder: Path, rate: Fraction, name: str
) -> None:
    path = encoded(folder, rate, name)
    seen, alone = shots(path, 1)
    assert seen == PICTURES
    assert "window" not in {kind for _, _, kind in alone[:-1]}
    assert alone[-1][1] - alone[0][0] == pytest.approx(PICTURES / rate, abs=float(1 / rate) + 0.1)
    for threads in (2, 8, 16):
        assert shots(path, threads) == (seen, alone)
    # As in the container that interleaves best.
    lengths = [round(end - start, 1) for start, end, _ in alone]
    _, best = shots(encoded(folder, rate, "a.mp4"), 1)
    assert lengths == [round(end - start, 1) for start, end, _ in best]


def test_sound_is_no_more_than_a_second_early(folder: Path) -> None:
    path = encoded(folder, Fraction(1), "a.ts")
    reached = Fraction(0)
    with Decoder(FileSource(path), SETTINGS) as decoder:
        for item in decoder:
            if isinstance(item, Picture):
                reached = item.start.seconds
            elif reached < 20:
                assert item.start.seconds <= reached + Fraction(11, 10) + 1


def test_what_is_held_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded(folder, Fraction(1), "a.ts")
    with Decoder(FileSource(path), SETTINGS) as decoder:
        whole = [item.start.seconds for item in decoder if isinstance(item, Sound)]
    monkeypatch.setattr(packets, "MAX_EARLY_PACKETS", 3)
    with Decoder(FileSource(path), SETTINGS) as decoder:
        assert [item.start.seconds for item in decoder if isinstance(item, Sound)] == whole
