"""What one child process costs, by the operating system's own accounting."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Cost:
    """One finished process.

    Attributes:
        wall: Seconds from start to exit.
        cpu: User and system seconds of all its threads.
        peak: Largest resident size, bytes.
        output: What it wrote to standard output.
    """

    wall: float
    cpu: float
    peak: int
    output: bytes


def measure(module: str, arguments: Sequence[str]) -> Cost:
    """Runs ``python -m module`` and waits for it.

    Args:
        module: Dotted name.
        arguments: Its command line.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:  # noqa: S603 -- our own module
        assert child.stdout is not None
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)
