from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamer.shots.base import ShotOptions
from streamer.shots.fixed import FixedSplitter
from streamer.timeline import Shot, Timestamp

RATE = Fraction(1, 48000)
SETTINGS = ShotOptions(sound_only_seconds=4.0)


def test_windows_are_exact_and_the_last_may_be_shorter() -> None:
    splitter = FixedSplitter(SETTINGS)
    closed: list[Shot] = []
    for start in range(480, 480 + 48000 * 10, 1024):
        step = splitter.push(Timestamp(start, RATE))
        assert step.watermark == Timestamp(start, RATE)
        closed += step.closed
    closed += splitter.finish(Timestamp(480 + 48000 * 10, RATE))
    assert [(s.start.pts - 480, s.end.pts - 480, s.ended_by) for s in closed] == [
        (0, 192000, "window"),
        (192000, 384000, "window"),
        (384000, 480000, "end"),
    ]


def test_a_gap_of_hours_makes_one_window_not_thousands() -> None:
    splitter = FixedSplitter(SETTINGS)
    splitter.push(Timestamp(0, RATE))
    closed = splitter.push(Timestamp(48000 * 36001, RATE)).closed
    assert [s.start.seconds for s in closed] == [0, 4]
    assert [s.end.seconds for s in closed] == [4, 36000]


def test_an_end_on_an_edge_is_the_end() -> None:
    splitter = FixedSplitter(SETTINGS)
    splitter.push(Timestamp(0, RATE))
    (shot,) = splitter.finish(Timestamp(4 * 48000, RATE))
    assert shot.ended_by == "end"
    assert FixedSplitter(SETTINGS).finish(Timestamp(0, RATE)) == ()


def test_order_is_checked() -> None:
    splitter = FixedSplitter(SETTINGS)
    splitter.push(Timestamp(100, RATE))
    with pytest.raises(ValueError, match="before the last"):
        splitter.push(Timestamp(99, RATE))
    with pytest.raises(ValueError, match="before the last"):
        splitter.finish(Timestamp(99, RATE))


@given(
    st.lists(st.integers(0, 30_000), min_size=1, max_size=60),
    st.integers(0, 10_000),
    st.floats(0.05, 9.0),
)
@example(gaps=[0, 17147], tail=0, seconds=0.05325219023242248)
def test_windows_tile_the_timeline(gaps: list[int], tail: int, seconds: float) -> None:
    base = Fraction(1, 1000)
    splitter = FixedSplitter(ShotOptions(sound_only_seconds=seconds))
    closed: list[Shot] = []
    at = 0
    for gap in gaps:
        at += gap
        step = splitter.push(Timestamp(at, base))
        assert len(step.closed) <= 2
        closed += step.closed
    closed += splitter.finish(Timestamp(at + tail, base))
    assert closed[0].start.pts == gaps[0]
    assert closed[-1].end.pts == at + tail
    assert [s.ended_by for s in closed] == ["window"] * (len(closed) - 1) + ["end"]
    assert all(a.end == b.start for a, b in itertools.pairwise(closed))
    assert all(s.duration > 0 for s in closed[:-1])
