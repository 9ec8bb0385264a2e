"""The short form of the soak: minutes of media in seconds, with every kind of fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.soak.run import soak
from tests.soak.verdict import judge


def test_faults_lose_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    done = soak(tmp_path, streams=4, seconds=240, seed=12, limit=240)
    verdict = done.verdict
    assert done.internal == []
    assert verdict.clean, verdict
    assert verdict.media >= 4 * 240
    assert verdict.cuts > 150
    assert verdict.across >= 4
    assert set(verdict.faults) >= {"format", "gap", "jump", "wrap"}
    assert set(verdict.connections) == {"done", "stop", "close", "garbage"}
    half = done.samples[len(done.samples) // 2 :]
    assert max(sample.files for sample in half) <= done.samples[0].files + 8
    assert max(sample.threads for sample in half) <= 60
    assert done.largest_state < 1 << 20


SENT = {
    "stream": "s0",
    "number": 0,
    "media": 10.0,
    "cuts": [2.0, 5.0, 9.9],
    "end": 10.0,
    "faults": ["gap"],
    "ended": "close",
}


def event(kind: str, number: int, **data: Any) -> dict[str, Any]:
    told = {"stream": "s0", "epoch": 0, "across_gap": False, **data}
    return {"type": f"dev.moae-streamer.{kind}.v1", "id": str(number), "data": told}


def shots(*starts: float) -> list[dict[str, Any]]:
    return [event("shot", n, seconds=at, ended_by="cut") for n, at in enumerate(starts)]


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
