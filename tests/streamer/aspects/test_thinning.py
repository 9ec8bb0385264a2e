"""What each level leaves out, and that nothing depends on chance."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.aspects.bank import AspectBank
from streamer.aspects.thinning import Thinner, Thinning, plan
from streamer.extractor import ClipInput, Extractor, PictureInput, SoundInput
from streamer.timeline import EmbeddedShot, Picture, Shot, Sound, Timestamp
from tests.extractors import Mean

MS = Fraction(1, 1000)
RATE = 8000
ALL = ("place", "cast", "action", "stft", "speaker", "vggish", "panns", "openl3", "musicnn")
SIX = ("place", "speaker", "vggish", "panns", "openl3", "musicnn")


def extractors() -> list[Extractor]:
    return [
        Mean("place", PictureInput(8, 8, Fraction(1))),
        Mean("action", ClipInput(4, 4, 5, Fraction(1, 50))),
        Mean("vggish", SoundInput(RATE, 4000, 4000)),
        Mean("panns", SoundInput(RATE, 8000, 8000)),
    ]


def film(
    levels: dict[int, int], cuts: tuple[int, ...] = (16, 20), *, thin: bool = True
) -> tuple[list[EmbeddedShot], Counter[str]]:
    """Ten pictures and one block of sound a second; levels are set at the given seconds."""
    left_out: Counter[str] = Counter()
    made = extractors()
    thinner = Thinner([each.aspect for each in made], lambda aspect: left_out.update([aspect]))
    bank = AspectBank(
        made,
        batch=1,
        max_interleave=Fraction(3),
        has_sound=True,
        key_frame_interval=1.0,
        key_frame_offset=0.0,
        thinner=thinner if thin else None,
    )
    bank.begin(Fraction(0))
    shots = [
        Shot(number, Timestamp(a * 1000, MS), Timestamp(b * 1000, MS), "cut")
        for number, (a, b) in enumerate(pairwise((0, *cuts)))
    ]
    done: list[EmbeddedShot] = []
    random = np.random.default_rng(0)
    for second in range(cuts[-1]):
        thinner.level = levels.get(second, thinner.level)
        samples = random.uniform(-0.5, 0.5, (1, RATE)).astype(np.float32)
        block = av.AudioFrame.from_ndarray(samples, "flt", "mono")
        block.sample_rate = RATE
        bank.push_sound(Sound(Timestamp(second * RATE, Fraction(1, RATE)), block))
        for tenth in range(10):
            at = second * 1000 + tenth * 100
            value = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            bank.push_picture(
                Picture(Timestamp(at, MS), av.VideoFrame.from_ndarray(value, "rgb24"))
            )
            closed = [shot for shot in shots if shot.end.seconds == second and not tenth]
            done += bank.advance(Fraction(at, 1000), closed)
    bank.end_sound()
    done += bank.advance(Fraction(cuts[-1]), shots[-1:])
    return done, left_out


def counts(shots: list[EmbeddedShot]) -> list[dict[str, int]]:
    return [{name: len(tokens) for name, tokens in each.tokens.items()} for each in shots]


def test_the_order_is_key_frames_then_windows_then_whole_aspects() -> None:
    levels = plan(SIX)
    assert levels[:5] == (
        Thinning(1, 1),
        Thinning(2, 1),
        Thinning(4, 1),
        Thinning(4, 2),
        Thinning(4, 4),
    )
    gone = [sorted(new.dropped - old.dropped) for old, new in pairwise(levels[4:])]
    assert gone == [["panns"], ["musicnn"], ["vggish"], ["speaker"]]
    everything = [sorted(new.dropped - old.dropped) for old, new in pairwise(plan(ALL)[4:])]
    assert everything[:3] == [["stft"], ["action"], ["cast"]]


@pytest.mark.parametrize("aspects", [ALL, SIX, ("place",), ("panns",), ("cast",), ("x", "y"), ()])
def test_something_is_always_left(aspects: tuple[str, ...]) -> None:
    for level in plan(aspects):
        assert not aspects or set(aspects) - level.dropped


def test_full_quality_is_what_there_is_without_thinning() -> None:
    plain, _ = film({}, thin=False)
    thinned, left_out = film({})
    assert not left_out
    for one, other in zip(plain, thinned, strict=True):
        assert one.shot == other.shot
        assert one.tokens.keys() == other.tokens.keys()
        for name, tokens in one.tokens.items():
            np.testing.assert_array_equal(tokens, other.tokens[name])


def test_each_level_leaves_out_what_it_says() -> None:
    full, _ = film({})
    assert counts(full)[0] == {"place": 16, "action": 40, "vggish": 32, "panns": 16}
    half, left_out = film({0: 1})
    assert counts(half)[0] == {"place": 8, "action": 20, "vggish": 32, "panns": 16}
    assert left_out["place"] == 8 + 2
    quarter, _ = film({0: 4})
    assert counts(quarter)[0] == {"place": 4, "action": 10, "vggish": 8, "panns": 4}
    np.testing.assert_array_equal(quarter[0].tokens["place"], full[0].tokens["place"][::4])
    np.testing.assert_array_equal(quarter[0].tokens["vggish"], full[0].tokens["vggish"][::4])
    last, _ = film({0: 99})
    assert [set(each) for each in counts(last)] == [{"place", "vggish"}] * 2


def test_a_short_shot_keeps_every_aspect_until_aspects_are_dropped() -> None:
    cuts = tuple(range(1, 13))
    for level in range(5):
        shots, _ = film({0: level}, cuts)
        wanted = {"place", "action", "vggish", "panns"}
        assert all(set(each) == wanted for each in counts(shots)), level


def test_an_aspect_that_was_dropped_comes_back() -> None:
    shots, left_out = film({0: 6, 17: 0}, (16, 24, 32))
    assert set(shots[0].tokens) == {"place", "vggish"}
    full, _ = film({}, (16, 24, 32))
    assert set(shots[1].tokens) == set(full[1].tokens)
    assert counts(shots)[2] == counts(full)[2]
    for name, tokens in full[2].tokens.items():
        np.testing.assert_array_equal(tokens, shots[2].tokens[name])
    assert 16 <= left_out["panns"] <= 18


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(levels=st.dictionaries(st.integers(0, 19), st.integers(0, 9), max_size=6))
def test_the_same_levels_leave_out_the_same(levels: dict[int, int]) -> None:
    one, left_out = film(levels)
    other, again = film(levels)
    assert left_out == again
    assert counts(one) == counts(other)
    full, _ = film({})
    for name in ("place", "vggish"):
        kept = sum(len(each.tokens.get(name, ())) for each in one)
        assert kept + left_out[name] == sum(len(each.tokens[name]) for each in full)
        assert all(name in each.tokens for each in one)
