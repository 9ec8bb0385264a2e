"""When a worker is taken for one whose client hangs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from streamer.errors import FleetError
from streamer.fleet.app import Takeover

PATIENCE, LONGEST = 60.0, 120.0


@dataclass
class Recovery:
    active_offsets: Counter[str] = field(default_factory=Counter)


@dataclass
class Tables:
    recovery: Recovery = field(default_factory=Recovery)


@dataclass
class App:
    """What is looked at of Faust's."""

    rebalancing: bool = False
    rebalancing_count: int = 0
    consumer_generation_id: int = 0
    tables: Tables = field(default_factory=Tables)


class Watch:
    def __init__(self) -> None:
        self.app, self.now = App(), 0.0
        self._takeover = Takeover(self.app, PATIENCE, LONGEST, self.time)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.now

    def after(self, seconds: float, *, owning: bool) -> None:
        self.now += seconds
        self._takeover.check(owning=owning)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_it_never_begins(watch: Watch) -> None:
    watch.after(1, owning=False)
    watch.after(PATIENCE, owning=False)
    with pytest.raises(FleetError, match="no partitions could be taken over in 62 s"):
        watch.after(1, owning=False)


def test_work_has_no_end(watch: Watch) -> None:
    for _ in range(100):
        watch.after(PATIENCE, owning=True)


def test_a_rebalance_that_hangs_although_partitions_are_owned(watch: Watch) -> None:
    watch.after(1, owning=True)
    watch.app.rebalancing = True
    watch.after(1, owning=True)
    watch.after(LONGEST - 1, owning=True)
    with pytest.raises(FleetError):
        watch.after(2, owning=True)


def test_a_table_that_is_read(watch: Watch) -> None:
    for _ in range(8):
        watch.app.tables.recovery.active_offsets["windows"] += 1
        watch.after(PATIENCE, owning=False)
    watch.after(1, owning=True)
    watch.after(PATIENCE, owning=False)
    with pytest.raises(FleetError):
        watch.after(1, owning=False)


def test_rebalances_without_end(watch: Watch) -> None:
    with pytest.raises(FleetError):  # noqa: PT012
        for generation in range(100):
            watch.app.consumer_generation_id = generation
            watch.after(PATIENCE / 2, owning=False)
    assert watch.now == pytest.approx(10 * PATIENCE, abs=PATIENCE)
