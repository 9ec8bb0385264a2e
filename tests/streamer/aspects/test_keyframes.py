from __future__ import annotations

import time
from fractions import Fraction

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.aspects.video import KeyFrames, Resizer
from streamer.timeline import Picture, Timestamp

BASE = Fraction(1, 25)


def picture(index: int, width: int = 64, height: int = 36, pix_fmt: str = "yuv420p") -> Picture:
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    rgb = np.broadcast_to(ramp[None, :, None], (height, width, 3))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(format=pix_fmt)
    return Picture(Timestamp(index, BASE), frame)


FRAME = picture(0).frame


@given(st.integers(1, 200), st.integers(0, 5), st.integers(1, 30), st.data())
def test_key_frames_do_not_depend_on_how_the_watermark_advanced(
    length: int, offset: int, interval: int, data: st.DataObject
) -> None:
    pictures = [Picture(Timestamp(i, BASE), FRAME) for i in range(length + 8)]
    marks = sorted(data.draw(st.lists(st.integers(0, length), max_size=6)))

    def chosen(steps: list[int]) -> list[int]:
        keys = KeyFrames(offset * BASE, interval * BASE)
        for item in pictures:
            keys.push(item)
        taken = [p for mark in steps for p in keys.take(Fraction(0), mark * BASE)]
        return [p.start.pts for p in taken + keys.close(Fraction(0), length * BASE)]

    expected = list(range(offset, length, interval)) or [length - 1]
    assert chosen([]) == chosen(marks) == expected


def test_the_next_shot_starts_afresh() -> None:
    keys = KeyFrames(2 * BASE, 10 * BASE)
    for index in range(40):
        keys.push(picture(index))
    first = keys.close(Fraction(0), 15 * BASE)
    second = keys.close(15 * BASE, 40 * BASE)
    assert [p.start.pts for p in first] == [2, 12]
    assert [p.start.pts for p in second] == [17, 27, 37]


def test_every_kind_of_picture_becomes_the_same_size() -> None:
    resize = Resizer(32, 48)
    kinds = [
        (16, 16, "yuv420p"),
        (1919, 1079, "yuv444p"),
        (64, 36, "yuv420p10le"),
        (64, 36, "gray"),
    ]
    for width, height, pix_fmt in kinds:
        small = resize(picture(0, width, height, pix_fmt))
        assert small.shape == (3, 32, 48)
        assert small[:, :, -1].float().mean() > small[:, :, 0].float().mean() + 150


def test_a_leap_of_years_costs_nothing_and_the_rhythm_stays() -> None:
    years = 10 * 365 * 86400 * 25
    keys = KeyFrames(2 * BASE, 10 * BASE)
    began = time.process_time()
    for index in (0, 2, 5, years, years + 1, years + 2, years + 9, years + 12):
        keys.push(Picture(Timestamp(index, BASE), FRAME))
    taken = keys.close(Fraction(0), (years + 20) * BASE)
    assert time.process_time() - began < 1.0
    assert [p.start.pts for p in taken] == [2, years, years + 2, years + 12]
