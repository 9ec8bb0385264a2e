"""End-to-end speed, CPU cost against bare decoding, and memory over time."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import av

from streamer.bench.film import lengthen
from streamer.bench.process import measure

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TailCost:
    """Medians over interleaved runs of bare decoding and of ``streamer tail``.

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
    """Runs bare decoding and ``streamer tail`` in turn.

    Args:
        film: A media file.
        rounds: Pairs of runs.
    """
    pairs = [
        (measure("streamer.bench.decode", [str(film)]), measure("streamer", tail_arguments(film)))
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
    """Peak memory of ``streamer tail`` on the same film repeated to several lengths.

    Args:
        film: A media file.
        folder: For the longer films; they are removed again.
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
    """The command line that is measured."""
    return ["tail", str(film), "--quiet", "--device", "cpu"]


def duration(film: Path) -> float:
    """Seconds, as the container says."""
    with av.open(str(film)) as container:
        return (container.duration or 0) / av.time_base
