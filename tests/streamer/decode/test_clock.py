from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.decode.timestamps import REMEMBERED, Regimes, StreamClock

TICK = Fraction(1, 1000)
FRAME = Fraction(1, 25)


def clock(*, tolerant: bool = False) -> StreamClock:
    return StreamClock(Regimes(), tolerant=tolerant)


def stamp(of: StreamClock, pts: int | None, dts: int | None = None) -> Fraction | None:
    instant = of.stamp(pts, dts, FRAME, TICK)
    return None if instant is None else instant.seconds


def test_good_timestamps_pass_through_exactly() -> None:
    time_base = Fraction(1001, 30000)
    of = clock()
    for pts in (7, 8, 11):
        instant = of.stamp(pts, None, time_base, time_base)
        assert instant is not None
        assert (instant.pts, instant.time_base) == (pts, time_base)
    assert (of.dropped, of.derived, of.restarts) == (0, 0, 0)


def test_missing_pts_is_dts_when_that_is_later_else_the_end_of_the_last_frame() -> None:
    of = clock()
    assert stamp(of, None) == 0
    assert stamp(of, None, 60) == Fraction(60, 1000)
    assert stamp(of, None, 10) == Fraction(100, 1000)
    assert of.derived == 3


def test_repeats_and_small_steps_back_are_dropped() -> None:
    of = clock()
    assert stamp(of, 1000) == 1
    assert stamp(of, 1000) is None
    assert stamp(of, 400) is None
    assert stamp(of, 1040) == Fraction(26, 25)
    assert of.dropped == 2


def test_rounded_sound_is_put_at_the_end_of_the_last_block() -> None:
    of = clock(tolerant=True)
    block = Fraction(32, 48000)
    assert of.stamp(5, None, block, TICK) is not None
    second = of.stamp(5, None, block, TICK)
    assert second is not None
    assert second.seconds == Fraction(6, 1000)
    assert of.dropped == 0


def test_a_gap_forwards_is_kept() -> None:
    of = clock()
    stamp(of, 0)
    assert stamp(of, 10**9) == 10**6


def test_a_restart_carries_on_and_both_streams_shift_alike() -> None:
    regimes = Regimes()
    picture, sound = StreamClock(regimes, tolerant=False), StreamClock(regimes, tolerant=True)
    assert stamp(picture, 90_000) == 90
    assert stamp(sound, 89_990) == Fraction(89_990, 1000)
    # The picture restarts first; the sound still has a block of the old clock to come.
    assert stamp(picture, 0) == 90 + FRAME
    assert stamp(sound, 90_020) == Fraction(90_020, 1000)
    assert stamp(sound, 21) == 90 + FRAME + Fraction(21, 1000)
    assert picture.restarts == sound.restarts == 1


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**40), 2**40),
            st.none() | st.integers(-(2**40), 2**40),
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_whatever_the_source_says_instants_increase(
    stamps: list[tuple[int | None, int | None]], tolerant: bool
) -> None:
    of = clock(tolerant=tolerant)
    seconds = [s for s in (stamp(of, *pair) for pair in stamps) if s is not None]
    assert all(a < b for a, b in itertools.pairwise(seconds))
    assert len(seconds) + of.dropped == len(stamps)


def test_pictures_that_pause_while_sound_goes_on_are_no_new_clock() -> None:
    regimes = Regimes()
    picture, sound = StreamClock(regimes, tolerant=False), StreamClock(regimes, tolerant=True)
    for second in range(58):
        assert picture.stamp(second * 1000, None, Fraction(1), TICK, passed=0.0) is not None
        assert sound.stamp(second * 1000, None, Fraction(1), TICK, passed=0.0) is not None
    for second in (58, 59):
        assert sound.stamp(second * 1000, None, Fraction(1), TICK, passed=0.0) is not None
    for of in (picture, sound):
        instant = of.stamp(69_000, None, FRAME, TICK, passed=0.0)
        assert instant is not None
        assert instant.seconds == 69
        assert of.restarts == 0
    for of in (picture, sound):
        instant = of.stamp(99_000, None, FRAME, TICK, passed=0.0)
        assert instant is not None
        assert of.restarts == 1
        assert abs(instant.seconds - 69) < 1


def test_missing_input_of_a_feed_is_counted_once_for_all_streams() -> None:
    regimes = Regimes()
    picture, sound = StreamClock(regimes, tolerant=False), StreamClock(regimes, tolerant=True)

    def gaps(of: StreamClock, pts: int, passed: float | None = 0.1) -> int:
        assert of.stamp(pts, None, FRAME, TICK, passed) is not None
        return of.gaps

    assert [gaps(picture, 0), gaps(sound, 10), gaps(picture, 2000), gaps(sound, 2020)] == [0] * 4
    # The sound comes to the gap first, and ends and begins a little apart from the pictures.
    assert [gaps(sound, 7100), gaps(picture, 2040), gaps(picture, 7060)] == [1, 0, 1]
    assert [gaps(picture, 9050), gaps(sound, 7140)] == [1, 1]
    # Pictures that pause while sound goes on are none.
    assert [gaps(sound, at) for at in range(9000, 15000, 1000)] == [1] * 6
    assert gaps(picture, 14000) == 1
    # In a recording nothing is missing that was not missing in it.
    assert gaps(picture, 24000, None) == 1


def test_a_clock_set_anew_is_no_missing_input() -> None:
    of = clock()
    for pts in (50_000, 50_040, 3_000, 3_040, 900_000):
        assert of.stamp(pts, None, FRAME, TICK, 0.04) is not None
    assert (of.restarts, of.gaps) == (2, 0)


def test_a_stream_that_shows_no_restart_follows_the_one_that_does() -> None:
    regimes = Regimes()
    picture, sound = StreamClock(regimes, tolerant=False), StreamClock(regimes, tolerant=True)
    for number in range(25):
        stamp(picture, 40 * number)
        stamp(sound, 40 * number)
    # A second of pictures with another clock: a gap, and a restart behind it.
    for number in range(25, 50):
        stamp(picture, 1_000_000 + 40 * number)
        stamp(sound, 40 * number)
    for number in range(50, 75):
        shown, heard = stamp(picture, 40 * number), stamp(sound, 40 * number)
        assert shown is not None
        assert shown == heard
        reached = shown
    assert picture.restarts == sound.restarts == 1
    # The next recording begins for both.
    for number in range(5):
        due = reached + FRAME * (number + 1)
        assert stamp(picture, 40 * number) == stamp(sound, 40 * number) == due
    assert picture.restarts == sound.restarts == 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**33)), min_size=300, max_size=600))
def test_what_is_kept_of_restarts_is_bounded(stamps: list[tuple[bool, int]]) -> None:
    regimes = Regimes()
    picture, sound = StreamClock(regimes, tolerant=False), StreamClock(regimes, tolerant=True)
    nothing = regimes.latest
    for heard, pts in stamps:
        stamp(sound if heard else picture, pts)
        assert len(regimes.after(nothing)) <= REMEMBERED
    assert max(picture.restarts, sound.restarts) == regimes.latest.number


def test_two_thousand_restarts_of_pictures_alone_are_forgotten() -> None:
    regimes = Regimes()
    picture, sound = StreamClock(regimes, tolerant=False), StreamClock(regimes, tolerant=True)
    stamp(sound, 0)
    for _ in range(2000):
        for number in range(3):
            shown = stamp(picture, 2000 * number)
    assert picture.restarts == 1999
    assert len(regimes.after(Regimes().latest)) == REMEMBERED
    # The sound comes back and is where the pictures are.
    heard = stamp(sound, 4000)
    assert heard == shown
