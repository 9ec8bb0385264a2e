"""``import streamer`` costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, time
before = time.process_time()
import streamer
spent = time.process_time() - before
heavy = {"torch", "av", "numpy", "aiohttp", "faust", "confluent_kafka", "sounddevice", "typer"}
print(spent, *sorted(heavy & sys.modules.keys()))
"""


def test_importing_the_package_is_cheap() -> None:
    runs = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
        )
        seconds, *heavy = done.stdout.split()
        assert heavy == []
        runs.append(float(seconds))
    assert min(runs) < 0.1
