"""A short campaign; ``make fuzz`` runs a long one."""

from __future__ import annotations

from tests.fuzz.campaign import campaign
from tests.fuzz.mutate import mutated


def test_hostile_inputs_end_in_order_or_in_a_source_error() -> None:
    found = campaign(count=120, seed=20261122, seconds=30.0)
    assert found.failures == []
    endings = {ending for tried in found.outcomes.values() for ending in tried}
    # Some survive, some do not: otherwise nothing would be tried.
    assert {"decoded", "NotMedia"} <= endings


def test_files_that_are_no_media_are_tried_too() -> None:
    found = campaign(count=800, seed=20261128, seconds=60.0, only=".s")
    assert found.failures == []
    # Its checksum leaves no changed state to be read.
    assert "StateDamaged" in found.outcomes["data.state"]
    # What cannot be read of a spool is put aside, and it is opened all the same.
    assert "read" in found.outcomes["data.spool"]
    assert {"DatasetError", "read"} <= found.outcomes["list.scenes.csv"].keys()
    assert {"ConfigError", "read"} <= found.outcomes["list.settings.toml"].keys()


def test_an_input_is_decided_by_its_seed() -> None:
    good = bytes(range(256)) * 20
    assert mutated(good, 7) == mutated(good, 7)
    assert mutated(good, 7) != mutated(good, 8)
