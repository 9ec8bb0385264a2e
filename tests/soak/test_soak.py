"""The short form of the soak: every kind of fault, and memory that is level."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from streamer.heap import keep_level
from tests.soak.memory import LONG_HOURS, MOST_RISEN, level, risen, slope
from tests.soak.run import Sample, Soaked, soak
from tests.soak.verdict import judge

STREAMS = 8
MEDIA_SECONDS = 360.0
"""For each stream, where the machine is quick enough."""
LEAST_SECONDS = 240.0
WALL_SECONDS = 150.0
"""For sending; what is on its way then still has to arrive."""


def soaked(folder: Path) -> Soaked:
    """Runs in a process of its own, as the program does: memory there is its alone."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=keep_level) as pool:
        run = pool.submit(
            soak,
            folder,
            streams=STREAMS,
            seconds=MEDIA_SECONDS,
            seed=12,
            limit=WALL_SECONDS + 110,
            until=WALL_SECONDS,
        )
        return run.result(WALL_SECONDS + 180)


@pytest.mark.soak
@pytest.mark.timeout(480)
def test_faults_lose_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    done = soaked(tmp_path)
    verdict = done.verdict
    assert done.internal == []
    assert verdict.clean, verdict
    assert verdict.media >= STREAMS * LEAST_SECONDS
    assert verdict.cuts > 300
    assert verdict.across >= STREAMS
    assert set(verdict.faults) >= {"format", "gap", "jump", "wrap"}
    assert set(verdict.connections) >= {"done", "stop", "close", "garbage"}
    half = done.samples[len(done.samples) // 2 :]
    assert max(sample.files for sample in half) <= done.samples[0].files + 8
    assert max(sample.threads for sample in half) <= 60
    assert risen(done.samples) <= MOST_RISEN
    assert done.largest_state < 1 << 20


def samples(hours: float, *resident: float) -> list[Sample]:
    """A run of so many hours in which memory was so many MiB at equal distances."""
    each = hours * 3600 / (len(resident) - 1)
    return [
        Sample(0.0, number * each, round(mib * 2**20), 0, 0, 0)
        for number, mib in enumerate(resident)
    ]


def test_memory_counts_once_the_beginning_is_over() -> None:
    grown = samples(8, 600, 640, 680, 690, 700, 700, 701, 701, 702)
    assert slope(grown) == pytest.approx(0.5)
    assert level(grown)
    growing = samples(8, 600, 610, 620, 630, 640, 650, 660, 670, 680)
    assert slope(growing) == pytest.approx(10)
    assert risen(growing) == pytest.approx(40)
    assert not level(growing)


def test_a_short_run_is_not_held_to_the_slope() -> None:
    short = samples(LONG_HOURS / 2, 600, 620, 640, 660)
    assert slope(short) > 2
    assert level(short)
    assert level([])
    assert slope([]) == risen([]) == 0.0


SENT = {
    "stream": "s0",
    "number": 0,
    "media": 10.0,
    "cuts": [2.0, 5.0, 9.9],
    "end": 10.0,
    "stretches": [(0.0, 10.0)],
    "faults": [],
    "ended": "close",
}


HOLED = SENT | {
    "end": 17.0,
    "stretches": [(0.0, 5.5), (10.0, 17.0)],
    "cuts": [2.0, 5.0, 13.0],
    "faults": ["gap"],
}


def event(kind: str, number: int, **data: Any) -> dict[str, Any]:
    told = {"stream": "s0", "epoch": 0, "across_gap": False, **data}
    return {"type": f"dev.moae-streamer.{kind}.v1", "id": str(number), "data": told}


def shots(*starts: float, epoch: int = 0) -> list[dict[str, Any]]:
    return [
        event("shot", n + 10 * epoch, epoch=epoch, seconds=at, ended_by="cut")
        for n, at in enumerate(starts)
    ]


@pytest.mark.parametrize(
    ("events", "clean"),
    [
        (shots(0.0, 2.0, 5.0), True),
        (shots(0.0, 2.1, 5.0), True),
        (shots(0.0, 2.0), False),
        (shots(0.0, 2.0, 3.5, 5.0), False),
        ([*shots(0.0, 2.0, 5.0), event("shot", 2, seconds=9.9, ended_by="end")], False),
        ([], False),
    ],
)
def test_the_verdict_sees_what_is_lost_invented_and_doubled(
    events: list[dict[str, Any]], clean: bool
) -> None:
    due = max(0, len([one for one in events if "shot" in one["type"]]) - 1)
    boundaries = [event("scene.boundary", 100 + number) for number in range(due)]
    assert judge([SENT], [*events, *boundaries]).clean is clean
    if boundaries:
        assert not judge([SENT], [*events, *boundaries[1:]]).clean


def test_behind_a_gap_the_verdict_counts_anew() -> None:
    told = [*shots(0.0, 2.0), *shots(0.0, 3.0, epoch=1)]
    told += [event("scene.boundary", 100 + n, across_gap=n == 0) for n in range(3)]
    gap = event("discontinuity", 200, epoch=1, reason="jump")
    assert judge([HOLED], [*told, gap]).clean
    assert not judge([HOLED], told).clean
    assert not judge([HOLED], [*shots(0.0, 2.0), *told[4:], gap]).clean
