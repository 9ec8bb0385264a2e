from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from streamer.cli.app import load
from tests.decoding import film
from tests.media import Recipe, Tone, write_film


def probe(*arguments: str) -> tuple[int, str, str]:
    import typer

    from streamer.cli import inspect as module

    app = typer.Typer()
    app.command()(module.probe)
    done = CliRunner().invoke(app, [*arguments], standalone_mode=False)
    code = done.return_value if isinstance(done.return_value, int) else done.exit_code
    return code, done.stdout, done.stderr


def test_a_film_is_described(known_film: Path) -> None:
    code, printed, _ = probe(str(known_film), "--json")
    found = json.loads(printed)
    assert code == 0
    assert found["segmentable"] == "picture and sound"
    assert (found["start"], found["live"], found["wall_clock"]) == (0.0, False, None)
    assert found["duration"] == pytest.approx(6.0, abs=0.1)
    assert [(s["kind"], s["codec"], s["used"]) for s in found["streams"]] == [
        ("video", "h264", True),
        ("audio", "aac", True),
    ]
    assert found["streams"][0]["detail"] == "192 x 108, 25.000 frames/s"
    code, printed, _ = probe(str(known_film))
    assert code == 0
    assert "yes, by picture and sound" in printed


def test_sound_alone_can_be_segmented(tmp_path: Path) -> None:
    write_film(tmp_path / "a.wav", [], Recipe(codec=None, sound=Tone(1.0, codec="pcm_s16le")))
    code, printed, _ = probe(str(tmp_path / "a.wav"), "--json")
    assert code == 0
    assert json.loads(printed)["segmentable"] == "sound"


def test_a_cover_has_a_size_and_no_rate(tmp_path: Path) -> None:
    write_film(tmp_path / "cover.mov", film(1, 96, 96), Recipe(codec="png", pixel_format="rgb24"))
    sound = Recipe(codec=None, sound=Tone(1.0, codec="libmp3lame"))
    write_film(tmp_path / "sound.mp3", [], sound)
    path = tmp_path / "a.mp3"
    with (
        av.open(str(tmp_path / "sound.mp3")) as heard,
        av.open(str(tmp_path / "cover.mov")) as shown,
        av.open(str(path), "w") as output,
    ):
        parts = [(heard, heard.streams.audio[0]), (shown, shown.streams.video[0])]
        made = [output.add_stream_from_template(part) for _, part in parts]
        for (container, part), stream in zip(parts, made, strict=True):
            for packet in container.demux(part):
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
    _, printed, _ = probe(str(path), "--json")
    details = {stream["kind"]: stream["detail"] for stream in json.loads(printed)["streams"]}
    assert details == {"audio": "48000 Hz, mono", "video": "96 x 96"}


@pytest.mark.network
def test_what_cannot_be_segmented_gives_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no film\n" * 100)
    code, printed, _ = probe(str(tmp_path / "a.txt"), "--json")
    assert (code, json.loads(printed)["segmentable"]) == (25, "no")
    assert probe("srt://127.0.0.1:9")[0] in {13, 17}


def test_the_command_is_found() -> None:
    assert load("probe").name == "probe"
    assert load("devices").name == "devices"
