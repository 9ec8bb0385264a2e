"""A screen that nobody sees, alone and with a microphone beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources.registry import open_source
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import SourceError
from tests.servers.process import Process
from tests.servers.pulse import Pulse
from tests.waiting import until

RECORD = """
import json, sys
from streamer.connectors.sources.registry import open_source
from streamer.config.sections import SourceSection
from streamer.decode.streams import DecodeOptions
from streamer.decode.decoder import Decoder
from streamer.timeline import Picture
decoder = Decoder(open_source(sys.argv[1], SourceSection()), DecodeOptions(threads=1))
times, heard, sizes, real = [], [], set(), []
with decoder:
    info = decoder.info
    for item in decoder:
        if isinstance(item, Picture):
            times.append(float(item.start.seconds))
            sizes.add((item.frame.width, item.frame.height))
            real.append((item.arrival, item.wallclock))
        else:
            heard.append(float(item.start.seconds))
        if len(times) >= 40:
            decoder.stop()
print(json.dumps({
    "times": times, "heard": heard, "sizes": sorted(sizes), "live": decoder.live,
    "sound": info.has_sound, "last": real[-1],
}))
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="screen-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def display(folder: Path) -> Iterator[str]:
    number = folder / "number"
    script = f"exec Xvfb -displayfd 3 -screen 0 320x240x24 -ac 3> {number}"
    server = Process(["sh", "-c", script], folder / "screen.log")
    until(lambda: number.exists() and number.read_text().strip() != "", "a display")
    yield f":{number.read_text().strip()}"
    server.stop()


@pytest.fixture(scope="module")
def pulse(folder: Path) -> Iterator[Pulse]:
    server = Pulse(folder)
    yield server
    server.stop()


def record(location: str, environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RECORD, location],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_screen_is_recorded(display: str) -> None:
    found = record(f"screen:{display}", dict(os.environ))
    assert (found["live"], found["sound"], found["sizes"]) == (True, False, [[320, 240]])
    times = found["times"]
    assert times == sorted(set(times))
    # Stamped by the clock as they were taken, however slow this machine is.
    assert times[-1] - times[0] > 39 / 25 - 0.2


def test_a_microphone_beside_a_screen_is_on_one_clock(display: str, pulse: Pulse) -> None:
    found = record(f"screen:{display}+mic:", pulse.environment)
    assert (found["live"], found["sound"], found["sizes"]) == (True, True, [[320, 240]])
    assert found["heard"][0] == 0.0
    assert found["times"] == sorted(set(found["times"]))
    # Sound and picture have come about equally far: they are not apart by a start-up.
    assert abs(found["heard"][-1] - found["times"][-1]) < 2.0
    arrival, real = found["last"]
    assert -0.2 < arrival - real < 5.0


def test_a_display_or_camera_that_is_not_there_is_said_so() -> None:
    for location in ("screen::9871", "camera:/dev/video987"):
        source = open_source(location, SourceSection(open_seconds=3.0))
        with pytest.raises(SourceError) as caught, Decoder(source, DecodeOptions()):
            pass
        assert location in str(caught.value)
