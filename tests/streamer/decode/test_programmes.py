"""Broadcasts of several programmes: sound and picture are of the same one."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.connectors.sources.file import FileSource
from streamer.decode.decoder import Decoder
from tests.decoding import SETTINGS, collect, film
from tests.media import Recipe, Tone, write_film
from tests.servers.process import Process
from tests.waiting import until


@pytest.mark.parametrize("larger", [0, 1])
def test_the_sound_is_that_of_the_largest_picture(tmp_path: Path, larger: int) -> None:
    inputs: list[str | Path] = []
    # The other programme's sound has more channels, and would be better by itself.
    for number in range(2):
        best = number == larger
        tone = Tone(2.0, codec="mp2", layout="mono" if best else "stereo")
        pictures = film(50, 320, 180) if best else film(50, 96, 64)
        write_film(tmp_path / f"{number}.mkv", pictures, Recipe(codec="mpeg2video", sound=tone))
        inputs += ["-i", tmp_path / f"{number}.mkv"]
    maps = [
        "-map",
        "0",
        "-map",
        "1",
        "-c",
        "copy",
        "-program",
        "st=0:st=1",
        "-program",
        "st=2:st=3",
    ]
    path = tmp_path / "both.ts"
    process = Process(["ffmpeg", "-loglevel", "error", *inputs, *maps, path], tmp_path / "log")
    until(lambda: process.ended, "a broadcast of two programmes")
    with Decoder(FileSource(path), SETTINGS) as decoder:
        used = [stream.index for stream in decoder.streams if stream.used]
        found = collect(decoder)
        assert len(decoder.streams) == 4
        assert (decoder.info.width, decoder.info.height) == (320, 180)
    assert used == [2 * larger, 2 * larger + 1]
    assert {sound.frame.layout.nb_channels for sound in found.sounds} == {1}
    assert len(found.pictures) >= 49
