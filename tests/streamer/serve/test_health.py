"""One dead camera is told; a process in which nothing moves is not ready."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from streamer.pipeline.progress import Disconnected, Progress
from streamer.serve.status import State, Status, StatusKeeper, Trouble, troubles, verdict

NOW, FRESH = 1000.0, 30.0
LOST = Trouble(datetime.now(UTC), "unreachable", "no connection")


def status(state: State, silent: float = 0.0, trouble: Trouble | None = None) -> Status:
    return Status(state=state, moved=NOW - silent, trouble=trouble)


@pytest.mark.parametrize(
    ("state", "silent", "words"),
    [
        ("running", 29.0, None),
        ("running", 31.0, "running, 31 s no progress"),
        ("starting", 29.0, None),
        ("starting", 31.0, "starting, 31 s no progress"),
        ("reconnecting", 29.0, None),
        ("reconnecting", 45.0, "reconnecting, 45 s no progress: no connection"),
        ("failed", 0.0, "failed: no connection"),
        ("ended", 9999.0, None),
        ("stopped", 9999.0, None),
    ],
)
def test_what_counts_as_trouble(state: State, silent: float, words: str | None) -> None:
    trouble = LOST if words is not None and words.endswith("connection") else None
    found = troubles({"cam": status(state, silent, trouble)}, FRESH, NOW)
    assert found == ({} if words is None else {"cam": words})


def test_ready_is_who_has_a_stream_that_moves_or_none_that_should() -> None:
    dead, alive, over = status("failed"), status("running"), status("ended")
    many = {f"cam{number}": alive for number in range(63)}
    assert verdict({}, FRESH, NOW) is None
    assert verdict({"a": over}, FRESH, NOW) is None
    assert verdict({"dead": dead, **many}, FRESH, NOW) is None
    assert verdict({"dead": dead, "a": over}, FRESH, NOW) == "no progress"
    stuck = status("running", 31.0)
    assert verdict({"dead": dead, "b": stuck}, FRESH, NOW) == "none of 2 streams makes progress"


def test_a_stream_moves_when_more_of_its_input_is_taken_and_not_when_it_is_told_again() -> None:
    keeper = StatusKeeper(lambda _: None)
    began = keeper.status.moved
    keeper(Progress(position=Fraction(2)))
    moved = keeper.status.moved
    keeper(Progress(position=Fraction(2), epoch=1))
    keeper(Disconnected("unreachable", "no connection", 1.0))
    assert began < moved == keeper.status.moved
