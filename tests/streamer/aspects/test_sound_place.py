"""A block of sound that comes again tells where the blocks before it lie."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from streamer.aspects.track import PlaceFinder, SoundPlace
from streamer.timeline import Sound, Timestamp

RATE = 1000


def block(at: int, samples: int = 100) -> Sound:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), "fltp", "mono")
    frame.sample_rate = RATE
    return Sound(Timestamp(at, Fraction(1, RATE)), frame)


def place(at: int, before: int) -> SoundPlace:
    return SoundPlace(Fraction(at, RATE), Fraction(at - before, RATE), before)


def test_blocks_wait_until_the_place_is_known() -> None:
    finder = PlaceFinder(place(700, 650))
    assert finder.push(block(500)) is None
    assert finder.push(block(600)) is None
    found = finder.push(block(700))
    assert found is not None
    blocks, before = found
    assert [one.start.pts for one in blocks] == [500, 600, 700]
    assert before == 450


def test_what_lies_before_the_run_is_left_out() -> None:
    finder = PlaceFinder(place(700, 100))
    assert [finder.push(block(at)) for at in (400, 500, 600)] == [None] * 3
    found = finder.push(block(700))
    assert found is not None
    assert [one.start.pts for one in found[0]] == [600, 700]
    assert found[1] == 0


def test_a_place_that_does_not_come_is_given_up() -> None:
    finder = PlaceFinder(place(705, 100))
    assert all(finder.push(block(at)) is None for at in range(600, 2800, 100))
    found = finder.push(block(2800))
    assert found is not None
    assert found[1] is None
    assert len(found[0]) == 23
