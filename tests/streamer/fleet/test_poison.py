"""Records whose form is right and whose numbers are impossible: no worker ends over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from streamer.fleet.record import LogRecord
from streamer.saved import seal, unseal
from tests.streamer.fleet.shots import MemoryLog, MemoryOut, laid_out, make_processor, records
from tests.streamer.fleet.test_partition import MODEL

Header = dict[str, Any]
HUGE = "9" * 40
LARGEST = (1 << 63) - 1

POISONS: dict[str, Callable[[Header], None]] = {
    "wall clock": lambda header: header.update(wallclock=1e300),
    "wall clock of the year 10000": lambda header: header.update(wallclock=253402300900.0),
    "arrival": lambda header: header.update(arrival=-1e300),
    "read up to": lambda header: header["shot"].update(closed_at=f"{HUGE}/1"),
    "read up to a tiny part": lambda header: header["shot"].update(closed_at=f"1/{HUGE}"),
    "end": lambda header: header["shot"]["end"].update(pts=LARGEST),
    "end and time base": lambda header: header["shot"]["end"].update(
        pts=LARGEST, time_base=f"{HUGE}/1"
    ),
    "start before the epoch": lambda header: header["shot"]["start"].update(pts=-5),
    "frame rate": lambda header: header["epoch"].update(frame_rate=f"{HUGE}/1"),
    "no frame rate": lambda header: header["epoch"].update(frame_rate="0/1"),
    "negative frame rate": lambda header: header["epoch"].update(frame_rate="-25/1"),
    "base": lambda header: header["epoch"].update(base=f"{HUGE}/1"),
    "compute time": lambda header: header["shot"].update(compute_seconds=1e308),
    "arrival of the epoch": lambda header: header["epoch"].update(arrival=1e300),
    "nameless network": lambda header: header["epoch"]["networks"].update({"": ""}),
    "long name": lambda header: header["epoch"]["networks"].update({"x" * 50_000: "y"}),
    "gap": lambda header: header["epoch"].update(
        gap={
            "reason": "restart",
            "lost_from": 1e300,
            "attempts": 10**30,
            "detail": "x" * 20_000,
            "missing": 1e308,
        }
    ),
    "epoch": lambda header: header["epoch"].update(number=10**30),
}


def poisoned(raw: LogRecord, poison: Callable[[Header], None]) -> LogRecord:
    """The same record with a changed header and a checksum that fits."""
    assert raw.value is not None
    text, body = unseal(raw.value, "shot", "record")
    header = json.loads(text)
    poison(header)
    return replace(raw, value=seal("shot", json.dumps(header), body))


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0, 5, 9])
@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_record_harms_its_stream_at_most(name: str, turn: int) -> None:
    sick, well = records("s0", 3, 9, epochs=2), records("s1", 4, 9, epochs=2)
    clean = laid_out([sick, well])
    raws = list(clean)
    at = next(
        place for place, raw in enumerate(raws) if raw.key == b"s0" and raw.offset == 2 * turn
    )
    raws[at] = poisoned(raws[at], POISONS[name])

    def run(laid: list[LogRecord]) -> MemoryOut:
        out = MemoryOut()
        lane = make_processor(MODEL, MemoryLog(laid), out, {})
        lane.own({0: 0})
        for start in range(0, len(laid), 4):
            lane.process(laid[start : start + 4])
        return out

    healthy, ill = run(clean), run(raws)
    assert ids(ill, "s1") == ids(healthy, "s1")
    # It goes on behind the record, whatever that was.
    assert len(ids(ill, "s0")) >= 4


def ids(out: MemoryOut, stream: str) -> list[str]:
    return [str(event.get_id()) for event in out.events if event.get_subject() == stream]
