"""A real process that stands still, and one that cannot be left."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.kafka import PATIENCE

STANDS_STILL = """
import time
time.sleep(1000)
"""
CANNOT_BE_LEFT = """
import threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
"""
# Nobody reads what it says.
CANNOT_SAY = """
import time
say = time.sleep
dog.allow(0.3, 1000)
time.sleep(1000)
"""
# Time passes only here, and the watchdog looks at it every time.
GETS_ON = """
import threading
now, looked = 0.0, threading.Event()
def clock():
    looked.set()
    return now
dog = Watchdog(55, lambda line: say(line), clock)
for _ in range(3):
    dog.allow(0.3, "too late")
    now += 0.2
    looked.clear()
    assert looked.wait(20)
"""
NOT_SOON_ENOUGH = GETS_ON.replace("0.2", "0.4")
BEGIN = """
import sys
from streamer.fleet.watchdog import Watchdog
dog = Watchdog(55, lambda line: say(line))
say = sys.stderr.write
"""


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        pytest.param('dog.allow(0.3, "too late")' + STANDS_STILL, 55, "too late", id="still"),
        pytest.param('dog.allow(0.3, "too late")' + CANNOT_BE_LEFT, 55, "too late", id="left"),
        pytest.param(CANNOT_SAY, 55, "", id="mute"),
        pytest.param(GETS_ON, 0, "", id="on"),
        pytest.param(NOT_SOON_ENOUGH, 55, "too late", id="late"),
        pytest.param("", 0, "", id="unasked"),
    ],
)
def test_a_process_ends(program: str, code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (code, said)
