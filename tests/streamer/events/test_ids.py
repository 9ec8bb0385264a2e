"""Ids are a pure function of kind, stream, epoch and position."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from streamer.events.ids import EventKind, event_id
from streamer.timeline import Timestamp

KINDS = st.sampled_from(["boundary", "shot", "scene", "discontinuity"])
BASES = st.sampled_from(
    [Fraction(1, 90_000), Fraction(1, 1000), Fraction(1001, 24_000), Fraction(1, 25), Fraction(2)]
)
INSTANTS = st.builds(Timestamp, st.integers(-(2**33), 2**40), BASES)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
PARTS = st.tuples(KINDS, NAMES, st.integers(0, 10_000), INSTANTS)


@given(PARTS, st.integers(1, 1000))
def test_the_time_base_does_not_matter(
    parts: tuple[EventKind, str, int, Timestamp], factor: int
) -> None:
    kind, stream, epoch, position = parts
    finer = Timestamp(position.pts * factor, position.time_base / factor)
    assert event_id(kind, stream, epoch, finer) == event_id(kind, stream, epoch, position)


@given(PARTS, PARTS)
def test_different_events_have_different_ids(
    one: tuple[EventKind, str, int, Timestamp], two: tuple[EventKind, str, int, Timestamp]
) -> None:
    assert (event_id(*one) == event_id(*two)) == (one == two)


def test_parts_do_not_run_into_each_other() -> None:
    position = Timestamp(3, Fraction(1))
    assert event_id("boundary", 'a", 1', 2, position) != event_id("boundary", "a", 12, position)


def test_ids_are_the_same_in_another_process_and_for_ever() -> None:
    code = (
        "from fractions import Fraction; from streamer.events.ids import event_id;"
        "from streamer.timeline import Timestamp;"
        "print(event_id('boundary', 'film', 0, Timestamp(2700000, Fraction(1, 90000))))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert printed == event_id("boundary", "film", 0, Timestamp(30, Fraction(1)))
    # Pinned: consumers keep ids, so a change of this value is a breaking change.
    assert printed == "2671c3bc-acb6-5378-b8d1-14e37bf62cc5"
