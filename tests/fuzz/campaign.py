"""Feeds workers with hostile inputs and notices which they do not survive."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import targets
from tests.fuzz.mutate import seeds

PATIENCE = 20.0
"""Seconds for one input, once everything is imported: opening and stalling have less."""

READY_SECONDS = 180.0
"""For a worker to import everything, on a machine that does other things too."""


READY = b"ready\n"
"""What a worker says when it begins."""


@dataclass
class Findings:
    """What came of a campaign.

    Attributes:
        outcomes: Kind of input → how often it ended how.
        failures: One line for each crash, hang and unexpected error, with how to repeat it.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def campaign(count: int, seed: int, seconds: float, only: str = "") -> Findings:
    """Tries inputs.

    Args:
        count: How many.
        seed: Decides which.
        seconds: Ends sooner than ``count`` after so long, imports not counted.
        only: Inputs whose name has this in it; all when empty.
    """
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "good").mkdir()
    for name, data in (seeds(folder) | targets.seeds(folder)).items():
        (folder / "good" / name).write_bytes(data)
    found = Findings()
    left, done = seconds, 0
    try:
        while done < count and left > 0:
            done, took = _worker(folder, (seed, only), done, count, left, found)
            left -= took
    finally:
        shutil.rmtree(folder)
    return found


def _worker(
    folder: Path, chosen: tuple[int, str], first: int, count: int, seconds: float, found: Findings
) -> tuple[int, float]:
    """Run one worker until it ends, hangs or enough was tried.

    Returns:
        The next number, and the seconds since the worker was ready.
    """
    seed, only = chosen
    script = [sys.executable, "-m", "tests.fuzz.worker"]
    command = [*script, str(folder), str(seed), str(first), only]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    number = first
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as worker:
        assert worker.stdout is not None
        began = time.monotonic()
        try:
            ready = select.select([worker.stdout], [], [], READY_SECONDS)[0]
            assert ready, f"no worker was ready in {READY_SECONDS:g} s"
            assert worker.stdout.readline() == READY, "a worker did not even start"
            began = time.monotonic()
            while number < count and time.monotonic() - began < seconds:
                if not select.select([worker.stdout], [], [], PATIENCE)[0]:
                    found.failures.append(f"hang at seed {seed} number {number}")
                    number += 1
                    break
                line = worker.stdout.readline()
                if not line:
                    code = worker.wait(10)
                    found.failures.append(f"exit {code} at seed {seed} number {number}")
                    number += 1
                    break
                said = json.loads(line)
                outcome = str(said["outcome"])
                kind = found.outcomes.setdefault(said["name"], Counter())
                kind["failed" if outcome.startswith("FAILED") else outcome] += 1
                if outcome.startswith("FAILED"):
                    found.failures.append(f"{outcome} at seed {seed} number {number}")
                number += 1
        finally:
            worker.kill()
    return number, time.monotonic() - began
