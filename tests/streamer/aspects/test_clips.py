from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.aspects.thinning import Thinner
from streamer.aspects.video import ClipAspects, ClipCutter
from streamer.extractor import ClipInput
from streamer.timeline import Picture, Timestamp

MS = Fraction(1, 1000)
SPEC = ClipInput(2, 2, frames=5, interval=30 * MS)


def picture(number: int, at: Fraction) -> Picture:
    """A flat picture whose grey names it."""
    frame = av.VideoFrame.from_ndarray(np.full((4, 4), number, np.uint8), "gray")
    return Picture(Timestamp(round(at / MS), MS), frame)


def numbers(clip: torch.Tensor) -> list[int]:
    assert clip.shape == (SPEC.frames, 1, 2, 2)
    return [int(value) for value in clip[:, 0, 0, 0]]


def cut(times: list[Fraction], end: Fraction, marks: tuple[Fraction, ...] = ()) -> list[list[int]]:
    cutter = ClipCutter(SPEC)
    clips = []
    for number, at in enumerate(times):
        cutter.push(picture(number, at))
    for mark in marks:
        clips += [numbers(clip) for clip in cutter.take(mark)]
    return clips + [numbers(clip) for clip in cutter.close(end)]


def steady(count: int, milliseconds: int = 40) -> list[Fraction]:
    return [number * milliseconds * MS for number in range(count)]


def test_clips_share_their_end_pictures() -> None:
    assert cut(steady(9), Fraction(1)) == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]]


def test_a_long_rest_gives_a_clip_that_ends_with_the_shot() -> None:
    assert cut(steady(7), Fraction(1)) == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6]]
    assert cut(steady(6), Fraction(1)) == [[0, 1, 2, 3, 4]]


def test_a_short_shot_holds_its_last_picture() -> None:
    assert cut(steady(3), Fraction(1)) == [[0, 1, 2, 2, 2]]
    assert cut(steady(1), Fraction(1)) == []
    assert cut([], Fraction(1)) == []


def test_fast_streams_are_thinned_evenly() -> None:
    for milliseconds, every in ((42, 1), (33, 1), (20, 2), (17, 2), (8, 4)):
        taken = [n for clip in cut(steady(9 * every, milliseconds), Fraction(9)) for n in clip]
        assert taken == [every * index for index in (0, 1, 2, 3, 4, 4, 5, 6, 7, 8)]


def test_nothing_of_the_next_shot_is_used() -> None:
    cutter = ClipCutter(SPEC)
    for number, at in enumerate(steady(10)):
        cutter.push(picture(number, at))
    first = [numbers(clip) for clip in cutter.close(240 * MS)]
    second = [numbers(clip) for clip in cutter.close(Fraction(1))]
    assert first == [[0, 1, 2, 3, 4]]
    assert second == [[6, 7, 8, 9, 9]]


@given(st.integers(0, 40), st.lists(st.integers(0, 45), max_size=6))
def test_clips_do_not_depend_on_how_the_watermark_advanced(count: int, marks: list[int]) -> None:
    end = count * 40 * MS
    steps = tuple(min(mark * 40 * MS, end) for mark in sorted(marks))
    assert cut(steady(45), end, steps) == cut(steady(45), end)


def test_a_jump_back_in_time_does_not_stop_it() -> None:
    times = [10 + at for at in steady(3)] + steady(3)
    cutter = ClipCutter(SPEC)
    for number, at in enumerate(times):
        cutter.push(picture(number, at))
    assert [numbers(clip) for clip in cutter.close(Fraction(20))] == [
        [0, 1, 2, 3, 4],
    ]


def test_without_extractors_nothing_is_held() -> None:
    clips = ClipAspects([], Thinner([]), batch=1)
    clips.push(picture(0, Fraction(0)))
    assert clips.close(Fraction(1)) == {}
