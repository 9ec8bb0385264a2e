from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.shots.base import ShotOptions
from streamer.shots.fixed import SoundLead
from streamer.timeline import Shot, Timestamp

RATE = 48000
BLOCK = 1024
BASE = Fraction(1, RATE)
SETTINGS = ShotOptions(sound_only_seconds=4.0)


def sound(second: float) -> Timestamp:
    return Timestamp(round(second * RATE), BASE)


def picture(second: float) -> Timestamp:
    return Timestamp(round(second * 90000), Fraction(1, 90000))


def feed(lead: SoundLead, until: float, start: float = 0.0) -> list[Shot]:
    shots: list[Shot] = []
    for pts in range(round(start * RATE), round(until * RATE), BLOCK):
        step = lead.push(Timestamp(pts, BASE))
        shots += () if step is None else step.closed
    return shots


def spans(shots: list[Shot]) -> list[tuple[float, float, str]]:
    return [(float(s.start.seconds), float(s.end.seconds), s.ended_by) for s in shots]


def test_a_picture_that_comes_soon_leaves_no_window() -> None:
    lead = SoundLead(SETTINGS, Fraction(3))
    assert feed(lead, 2.9) == []
    assert lead.start is None
    assert lead.hand_over(picture(0.5)) == ()


def test_a_late_picture_ends_the_window_under_way() -> None:
    lead = SoundLead(SETTINGS, Fraction(3))
    shots = feed(lead, 12.0, start=1.0)
    assert lead.start == sound(1)
    shots += lead.hand_over(picture(11))
    assert spans(shots) == [(1.0, 5.0, "window"), (5.0, 9.0, "window"), (9.0, 11.0, "cut")]
    assert [shot.index for shot in shots] == [0, 1, 2]


def test_windows_wait_for_pictures_that_trail_the_sound() -> None:
    lead = SoundLead(SETTINGS, Fraction(3))
    assert spans(feed(lead, 6.9)) == []
    assert lead.reached is not None
    assert lead.reached < sound(3.9)
    # Sound up to 6.9 s had come; the picture at 3.95 s is within what was promised.
    assert spans(list(lead.hand_over(picture(3.95)))) == [(0.0, 3.95, "cut")]


def test_without_pictures_nothing_waits() -> None:
    lead = SoundLead(SETTINGS, Fraction(0))
    shots = feed(lead, 8.1)
    assert spans(shots) == [(0.0, 4.0, "window"), (4.0, 8.0, "window")]
    assert spans(list(lead.finish(sound(9)))) == [(8.0, 9.0, "end")]


@pytest.mark.parametrize("until", [2.0, 3.0])
def test_a_picture_that_never_comes(until: float) -> None:
    lead = SoundLead(SETTINGS, Fraction(3))
    assert feed(lead, until) == []
    assert spans(list(lead.finish(sound(until)))) == [(0.0, until, "end")]
    assert lead.start == sound(0)
    assert SoundLead(SETTINGS, Fraction(3)).finish(sound(0)) == ()


@settings(deadline=None, max_examples=50)
@given(st.floats(0.0, 30.0), st.floats(0.05, 3.0), st.floats(0.5, 9.0))
def test_windows_tile_the_sound_before_the_picture(
    first: float, trail: float, window: float
) -> None:
    lead = SoundLead(ShotOptions(sound_only_seconds=window), Fraction(3))
    shots = feed(lead, first + trail)
    shots += lead.hand_over(picture(first))
    if not shots:
        assert first + trail < 3.1
        return
    assert shots[0].start == sound(0)
    assert shots[-1].end == picture(first)
    assert all(a.end == b.start for a, b in itertools.pairwise(shots))
    assert all(s.end > s.start for s in shots)
    # Only the last stretch, which waited for the picture, may be longer than a window.
    longest = Fraction(window) + Fraction(1, 1000)
    assert all(s.duration <= longest for s in shots[:-2])
    assert all(s.duration <= longest + 3 for s in shots[-2:])


def test_sound_does_not_go_back() -> None:
    lead = SoundLead(SETTINGS, Fraction(0))
    lead.push(sound(2))
    assert lead.push(sound(1)) is None
    with pytest.raises(ValueError, match="before"):
        lead.hand_over(picture(1))
