"""Measure ``streamer tail`` as a process: speed, CPU relative to bare decoding, peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import av

from streamer.bench.media import lengthen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """Hold the resources that a finished process used.

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


def measure(module: str, arguments: Sequence[str]) -> ProcessCost:
    """Run ``python -m module`` and wait for it.

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
    return ProcessCost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


@dataclass(frozen=True, slots=True)
class TailCost:
    """Hold medians over interleaved runs of bare decoding and of ``streamer tail``.

    Attributes:
        media_seconds: Length of the film.
        realtime_factor: Media seconds a wall second, start-up included.
        cpu_ratio: CPU seconds of ``streamer tail`` to those of bare decoding, run by run.
        decode_cpu: CPU seconds of bare decoding.
        tail_cpu: CPU seconds of ``streamer tail``.
        events: Boundary events of one run.
        peak_bytes: Largest resident size.
    """

    media_seconds: float
    realtime_factor: float
    cpu_ratio: float
    decode_cpu: float
    tail_cpu: float
    events: int
    peak_bytes: int


def measure_tail(film: Path, rounds: int) -> TailCost:
    """Run bare decoding and ``streamer tail`` in turn.

    Args:
        film: A media file.
        rounds: Pairs of runs.
    """
    pairs = [
        (
            measure("streamer.bench.media", ["decode", str(film)]),
            measure("streamer", tail_arguments(film)),
        )
        for _ in range(rounds)
    ]
    seconds = duration(film)
    return TailCost(
        media_seconds=seconds,
        realtime_factor=median(seconds / tail.wall for _, tail in pairs),
        cpu_ratio=median(tail.cpu / decode.cpu for decode, tail in pairs),
        decode_cpu=median(decode.cpu for decode, _ in pairs),
        tail_cpu=median(tail.cpu for _, tail in pairs),
        events=len(pairs[0][1].output.splitlines()),
        peak_bytes=max(tail.peak for _, tail in pairs),
    )


def measure_memory(film: Path, folder: Path, minutes: tuple[int, ...]) -> dict[int, int]:
    """Measure the peak memory of ``streamer tail`` on one film repeated to several lengths.

    Args:
        film: A media file.
        folder: Receives the longer films, which are removed afterwards.
        minutes: Lengths.

    Returns:
        Minutes → largest resident size in bytes.
    """
    peaks = {}
    for length in minutes:
        longer = lengthen(film, folder / f"{length}-minutes.mkv", length * 60)
        try:
            peaks[length] = measure("streamer", tail_arguments(longer)).peak
        finally:
            longer.unlink()
    return peaks


def tail_arguments(film: Path) -> list[str]:
    """Return the command line to measure."""
    return ["tail", str(film), "--quiet", "--device", "cpu"]


def duration(film: Path) -> float:
    """Return the duration that the container states, in seconds."""
    with av.open(str(film)) as container:
        return (container.duration or 0) / av.time_base
