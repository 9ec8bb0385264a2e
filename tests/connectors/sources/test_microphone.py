"""Recording through ALSA and PulseAudio from a sink that nobody hears."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.connectors.sources.capture import cameras, screens
from tests.media import Recipe, Tone, write_film
from tests.servers.pulse import Pulse

RECORD = """
import json, numpy as np
from streamer.connectors.sources.registry import open_source
from streamer.config.sections import SourceSection
from streamer.decode.streams import DecodeOptions
from streamer.decode.decoder import Decoder
decoder = Decoder(open_source("mic:", SourceSection()), DecodeOptions())
heard, blocks, first, last = [], 0, None, None
with decoder:
    for sound in decoder:
        rate = sound.frame.sample_rate
        samples = sound.frame.to_ndarray()[0, :: sound.frame.layout.nb_channels]
        first = sound.start if first is None else first
        assert last is None or sound.start.seconds == last
        last = sound.start.seconds + sound.frame.samples / __import__("fractions").Fraction(rate)
        if heard or abs(samples).max() > 1000:
            heard.append(samples)
        blocks += 1
        if sum(map(len, heard)) > rate or blocks > 400:
            decoder.stop()
whole = np.concatenate(heard)[rate // 4 : rate // 4 + rate // 2].astype(float)
spectrum = np.abs(np.fft.rfft(whole * np.hanning(len(whole))))
print(json.dumps({
    "hertz": float(spectrum.argmax() * rate / len(whole)), "live": decoder.live,
    "picture": decoder.info.has_picture, "start": float(first.seconds),
}))
"""


@pytest.fixture(scope="module")
def pulse() -> Iterator[Pulse]:
    folder = Path(tempfile.mkdtemp(prefix="pulse-"))
    server = Pulse(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


def run(pulse: Pulse, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=pulse.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_played_is_recorded(pulse: Pulse, tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    # A tone of 220 Hz in its first second, 55 Hz higher in each further one.
    write_film(path, [], Recipe(codec=None, sound=Tone(1.0, codec="pcm_s16le")))
    whole = tmp_path / "long.wav"
    frames = path.read_bytes()
    start = frames.index(b"data") + 8
    whole.write_bytes(frames[: start - 4] + b"\xff\xff\xff\x7f" + frames[start:] * 30)
    player = pulse.play(whole)
    try:
        said = json.loads(run(pulse, "-c", RECORD))
    finally:
        player.stop()
    assert said["hertz"] == pytest.approx(220, abs=4)
    assert (said["live"], said["picture"], said["start"]) == (True, False, 0.0)


def test_devices_are_listed_with_what_to_type(pulse: Pulse) -> None:
    printed = run(pulse, "-m", "streamer", "devices", "--json")
    found = [json.loads(line) for line in printed.splitlines()]
    assert found[0]["location"] == "mic:"
    assert {device["kind"] for device in found if device["location"].startswith("mic:")} == {
        "sound"
    }
    assert "mic:0" in run(pulse, "-m", "streamer", "devices")


def test_a_device_that_is_not_there_is_said_so(pulse: Pulse) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamer", "probe", "mic:harpsichord"],
        env=pulse.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 21
    assert "no such sound input" in done.stderr


def test_cameras_and_screens_are_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices, names = tmp_path / "dev", tmp_path / "names"
    (names / "video0").mkdir(parents=True)
    (names / "video0" / "name").write_text("HD Webcam\n")
    devices.mkdir()
    for name in ("video0", "video1", "videodisc"):
        (devices / name).touch()
    found = cameras(devices, names)
    assert [(c.location, c.name) for c in found] == [
        (f"camera:{devices}/video0", "HD Webcam"),
        (f"camera:{devices}/video1", "video1"),
    ]
    monkeypatch.setenv("DISPLAY", ":7")
    assert [s.location for s in screens()] == ["screen::7"]
    monkeypatch.delenv("DISPLAY")
    assert screens() == []
