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

from tests.fuzz.mutate import seeds

PATIENCE = 20.0
"""Seconds for one input: opening and stalling have less."""


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
        seconds: Ends sooner than ``count`` after so long.
        only: Inputs whose name has this in it; all when empty.
    """
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "good").mkdir()
    for name, data in seeds(folder).items():
        (folder / "good" / name).write_bytes(data)
    found = Findings()
    deadline = time.monotonic() + seconds
    done = 0
    try:
        while done < count and time.monotonic() < deadline:
            done = _worker(folder, (seed, only), done, count, deadline, found)
    finally:
        shutil.rmtree(folder)
    return found


def _worker(
    folder: Path, chosen: tuple[int, str], first: int, count: int, deadline: float, found: Findings
) -> int:
    """Runs one worker until it ends, hangs or enough was tried; returns the next number."""
    seed, only = chosen
    script = [sys.executable, "-m", "tests.fuzz.worker"]
    command = [*script, str(folder), str(seed), str(first), only]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    number = first
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as worker:
        assert worker.stdout is not None
        try:
            while number < count and time.monotonic() < deadline:
                if not select.select([worker.stdout], [], [], PATIENCE)[0]:
                    found.failures.append(f"hang at seed {seed} number {number}")
                    return number + 1
                line = worker.stdout.readline()
                if not line:
                    code = worker.wait(10)
                    found.failures.append(f"exit {code} at seed {seed} number {number}")
                    return number + 1
                said = json.loads(line)
                outcome = str(said["outcome"])
                kind = found.outcomes.setdefault(said["name"], Counter())
                kind["failed" if outcome.startswith("FAILED") else outcome] += 1
                if outcome.startswith("FAILED"):
                    found.failures.append(f"{outcome} at seed {seed} number {number}")
                number += 1
        finally:
            worker.kill()
    return number
