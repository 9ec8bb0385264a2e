"""Sound and pictures come out on the same side of each gap."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from streamer.decode.connection import GapBuffer
from streamer.timeline import Picture, Sound, Timestamp

if TYPE_CHECKING:
    import av

TICK = Fraction(1, 100)
PATIENCE = 3.0


def picture(at: int, gaps: int) -> Picture:
    return Picture(Timestamp(at, TICK), cast("av.VideoFrame", None), gaps=gaps)


def sound(at: int, gaps: int) -> Sound:
    return Sound(Timestamp(at, TICK), cast("av.AudioFrame", None), gaps)


def sorted_out(sorter: GapBuffer, *items: Picture | Sound) -> list[tuple[str, int, bool]]:
    return [
        (type(one).__name__, one.start.pts, behind)
        for item in items
        for one, behind in sorter.sort(item)
    ]


def test_pictures_say_when_a_gap_is_passed() -> None:
    came = sorted_out(
        GapBuffer(True, PATIENCE),
        picture(0, 0), sound(1, 0), sound(700, 1), picture(40, 0), sound(710, 1),
        picture(702, 1), sound(41, 0), sound(720, 1), picture(742, 1),
    )  # fmt: skip
    assert came == [
        ("Picture", 0, False), ("Sound", 1, False), ("Picture", 40, False), ("Picture", 702, True),
        ("Sound", 700, False), ("Sound", 710, False), ("Sound", 720, False),
        ("Picture", 742, False),
    ]  # fmt: skip


def test_sound_alone_does_not_wait() -> None:
    came = sorted_out(GapBuffer(False, PATIENCE), sound(0, 0), sound(500, 1), sound(510, 1))
    assert came == [("Sound", 0, False), ("Sound", 500, True), ("Sound", 510, False)]


def test_sound_goes_on_without_pictures_that_do_not_come_back() -> None:
    sounds = [sound(at, 1) for at in range(500, 1000, 50)]
    came = sorted_out(GapBuffer(True, PATIENCE), picture(0, 0), *sounds, picture(1001, 1))
    assert [at for _, at, _ in came] == [0, *range(500, 1000, 50), 1001]
    assert [at for _, at, behind in came if behind] == [500]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1)), min_size=1, max_size=60),
    st.booleans(),
)
def test_gaps_come_in_order_and_each_is_told_once(
    steps: list[tuple[bool, int]], has_picture: bool
) -> None:
    sorter, gaps = GapBuffer(has_picture, PATIENCE), {True: 0, False: 0}
    told, sides = 0, []
    for at, (is_picture, gap) in enumerate(steps):
        gaps[is_picture] += gap
        make = picture if is_picture and has_picture else sound
        for item, behind in sorter.sort(make(at * 10, gaps[is_picture])):
            told += behind
            sides.append((item.gaps, told if behind else None))
    assert [gap for gap, _ in sides] == sorted(gap for gap, _ in sides)
    changes = [b for (a, _), (b, _) in zip([(0, None), *sides], sides, strict=False) if a != b]
    assert len(changes) == told
