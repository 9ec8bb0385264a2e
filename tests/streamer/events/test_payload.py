"""What payloads refuse and how they describe positions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from pydantic import ValidationError

from streamer.events.payload import Boundary, Position, Wallclock, from_json, to_json
from streamer.timeline import Timestamp
from tests.streamer.events.examples import START, boundary


def test_seconds_are_relative_to_the_start() -> None:
    position = Position.of(Timestamp(3_600_000, Fraction(1, 90_000)), START, Fraction(25))
    assert asdict(position) == {
        "pts": 3_600_000,
        "time_base": "1/90000",
        "seconds": 30.0,
        "timecode": "00:00:30:00",
    }


def test_nothing_lies_before_the_start() -> None:
    with pytest.raises(ValueError, match="before the start"):
        Position.of(Timestamp(0, Fraction(1)), START, None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_scores_are_probabilities(value: float) -> None:
    with pytest.raises(ValidationError):
        from_json(Boundary, to_json(boundary()) | {"score": value})


@pytest.mark.parametrize(
    "change",
    [
        {"time_base": "0.04"},
        {"time_base": "1/0"},
        {"unknown": 1},
        {"latency_seconds": float("inf")},
        {"stream": ""},
        {"stream": "\udcff"},
        {"wallclock": {"time": "2026-01-01T00:00:00", "origin": "source"}},
        {"model": {"name": "MOAE_A", "sha256": "AB" * 32}},
    ],
)
def test_what_a_writer_may_not_say(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        from_json(Boundary, to_json(boundary()) | change)


def test_the_source_clock_is_preferred() -> None:
    assert Wallclock.of(10.0, 20.0).origin == "source"
    assert Wallclock.of(None, 20.0).origin == "arrival"
    assert asdict(Wallclock.of(None, None)) == {"time": None, "origin": "none"}
    assert Wallclock.of(10.5, None).time == datetime(1970, 1, 1, 0, 0, 10, 500_000, UTC)
