"""Inputs that are still being written, and inputs that are paced."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

from streamer.connectors.sources.file import FileSource, GrowingSource
from streamer.decode.decoder import Decoder
from streamer.errors import (
    SourceEmpty,
)
from streamer.timeline import Picture
from tests.decoding import (
    SETTINGS,
    film,
    growing_film,
)
from tests.media import Recipe, Tone, write_film


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ts", {}),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", {"live": "1"}),
        ("a.flv", {"flvflags": "no_duration_filesize"}),
    ],
)
def test_a_growing_file_is_followed_to_its_end(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    data = growing_film(tmp_path, name, options)
    path = tmp_path / ("growing_" + name)
    path.touch()
    halfway, cut = threading.Event(), int(len(data) * 0.6)

    def record() -> None:
        with path.open("ab", buffering=0) as file:
            for at in range(0, cut, 1000):
                file.write(data[at : min(cut, at + 1000)])
            assert halfway.wait(60)
            file.write(data[cut:])

    recorder = threading.Thread(target=record)
    recorder.start()
    times = []
    with Decoder(GrowingSource(path, idle_timeout=1.0), SETTINGS) as decoder:
        assert decoder.info.duration is None
        for item in decoder:
            if isinstance(item, Picture):
                times.append(item.start.seconds)
                if len(times) == 40:
                    halfway.set()
    recorder.join()
    assert len(times) == 200
    assert times[-1] - times[0] == Fraction(199, 25)


def test_stop_ends_a_growing_file_without_damage(tmp_path: Path) -> None:
    data = growing_film(tmp_path, "a.ts", {})
    path = tmp_path / "growing.ts"
    path.write_bytes(data[: len(data) // 2])
    seen = 0
    with Decoder(GrowingSource(path, idle_timeout=3600.0), SETTINGS) as decoder:
        for item in decoder:
            seen += isinstance(item, Picture)
            if seen == 30:
                decoder.stop()
    assert 30 <= seen < 110


def test_a_followed_file_that_stays_empty_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.touch()
    with pytest.raises(SourceEmpty), Decoder(GrowingSource(path, 0.1), SETTINGS):
        pass


def test_standard_input_through_a_real_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_film(path, film(50), Recipe(codec="libx264", sound=Tone(2.0)))
    program = (
        "import sys\n"
        "from streamer.connectors.sources.stdin import PipeSource\n"
        "from streamer.decode.streams import DecodeOptions\n"
        "from streamer.decode.decoder import Decoder\n"
        "from streamer.timeline import Picture\n"
        "with Decoder(PipeSource(0), DecodeOptions()) as decoder:\n"
        "    times = [i.start.seconds for i in decoder if isinstance(i, Picture)]\n"
        "print(len(times), times[-1])\n"
    )
    with path.open("rb") as film_file:
        cat = subprocess.Popen(["cat"], stdin=film_file, stdout=subprocess.PIPE)
    with (
        cat,
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=cat.stdout, stdout=subprocess.PIPE, text=True
        ) as reader,
    ):
        assert cat.stdout is not None
        cat.stdout.close()
        told, _ = reader.communicate(timeout=120)
    assert told.split() == ["50", "49/25"]


def test_realtime_takes_as_long_as_the_film_and_sound_does_not_hold_it_up(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, film(20), Recipe(codec="libx264", sound=Tone(0.8)))
    late = []
    with Decoder(FileSource(path), SETTINGS, realtime=True) as decoder:
        for item in decoder:
            if isinstance(item, Picture):
                due = decoder.due(item.start)
                assert due is not None
                late.append(time.monotonic() - due)
    assert min(late) >= -1e-3
