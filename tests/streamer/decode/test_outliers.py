"""One bad timestamp moves nothing but its own frame, and that no further than its neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.connectors.sources.file import FileSource, GrowingSource
from streamer.decode.decoder import Decoder
from streamer.decode.placing import Placement
from streamer.decode.streams import DecodeOptions
from streamer.decode.timestamps import WRAP_SECONDS, Claim, Outliers
from streamer.errors import SourceClosed
from streamer.timeline import Picture, Sound, StreamInfo
from tests.media import Clip, Recipe, Tone, frames_of, still, texture, write_film

TICK = Fraction(1, 90000)
WRAP = 2**33
RATE = Fraction(25)
BLOCK = Fraction(1024, 48000)
PACKET = 188
FILE = FileSource(Path("film.ts"))
INFO = StreamInfo(
    has_picture=True,
    has_sound=True,
    frame_rate=RATE,
    duration=None,
    container="mpegts",
    picture_codec="h264",
    sound_codec="aac",
    width=16,
    height=16,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a made-up input: its number in its stream, and what the source says."""

    kind: str
    number: int
    seconds: Fraction
    at: Fraction


def made(length: int, lead: Fraction, clock: Callable[[Fraction], Fraction]) -> list[Frame]:
    """Pictures and sound in the order of a demuxer.

    Args:
        length: Pictures.
        lead: Seconds by which sound is read earlier.
        clock: What the source says at a second of the film.
    """
    seconds = [k / RATE for k in range(length)]
    shown = [Frame("video", k, at, clock(at)) for k, at in enumerate(seconds)]
    blocks = [k * BLOCK for k in range(int(length / RATE / BLOCK))]
    heard = [Frame("audio", k, at, clock(at)) for k, at in enumerate(blocks)]
    return sorted(shown + heard, key=lambda f: f.seconds - (lead if f.kind == "audio" else 0))


def decoded(frame: Frame, ticks: int) -> av.VideoFrame | av.AudioFrame:
    given: av.VideoFrame | av.AudioFrame
    if frame.kind == "video":
        given = av.VideoFrame(16, 16, "gray")
    else:
        given = av.AudioFrame(format="s16", layout="mono", samples=1024)
        given.sample_rate = 48000
    given.pts, given.time_base = ticks, TICK
    return given


def placed(
    frames: Sequence[Frame], bad: dict[tuple[str, int], Fraction], *, wrap: bool = True
) -> dict[tuple[str, int], Fraction]:
    """When each frame of an input begins, by kind and number."""
    placement = Placement(FILE, None, 2.0)
    names: dict[int, tuple[str, int]] = {}
    kept: list[object] = []
    found: dict[tuple[str, int], Fraction] = {}

    def take(items: Sequence[Picture | Sound]) -> None:
        for item in items:
            found[names[id(item.frame)]] = item.start.seconds

    for frame in frames:
        name = frame.kind, frame.number
        ticks = round((frame.at + bad.get(name, 0)) / TICK)
        given = decoded(frame, ticks % WRAP if wrap else ticks)
        kept.append(given)
        names[id(given)] = name
        take(list(placement.place(frame.kind, [given], TICK, INFO)))
    take(list(placement.finish(INFO)))
    assert len(found) == len(frames)
    for kind in ("video", "audio"):
        times = [found[kind, n] for n in range(sum(f.kind == kind for f in frames))]
        assert all(a < b for a, b in itertools.pairwise(times))
    return found


def steady(start: Fraction) -> Callable[[Fraction], Fraction]:
    return lambda at: start + at


def joined(at: Fraction, before: Fraction, after: Fraction) -> Callable[[Fraction], Fraction]:
    """A clock that is set to another time at a second of the film."""
    return lambda second: before + second if second < at else after + second - at


LENGTH = 150
LEADS = st.fractions(Fraction(-1, 2), Fraction(1, 2), max_denominator=100)
STEADY = st.builds(
    steady,
    st.one_of(
        st.integers(3, 50000).map(Fraction),
        st.fractions(1, 5, max_denominator=50).map(lambda before: WRAP_SECONDS - before),
    ),
)
JOINED = st.builds(
    joined,
    st.fractions(1, 5, max_denominator=25),
    st.sampled_from([Fraction(100), Fraction(7000)]),
    st.sampled_from([Fraction(3), Fraction(120), Fraction(6990), Fraction(9000)]),
)
BITS = 33
SMALLEST = 17
"""The lowest bit of a timestamp that is worth more than a second."""


@st.composite
def damages(draw: st.DrawFn, smallest: int) -> dict[tuple[str, int], Fraction]:
    """Timestamps of single pictures, and of packets of sound, of which one bit is wrong."""
    bad: dict[tuple[str, int], Fraction] = {}
    pictures = draw(st.lists(st.integers(0, LENGTH - 1), max_size=3, unique=True))
    bits = draw(st.permutations(range(SMALLEST, BITS)))
    for number, bit in zip(pictures, bits, strict=False):
        # Where nothing else is known, pictures may well begin two seconds from the sound.
        if number < 4 and bit < SMALLEST + 2:
            continue
        bad["video", number] = draw(st.sampled_from([1, -1])) * 2**bit * TICK
    blocks = int(LENGTH / RATE / BLOCK)
    for first in draw(st.lists(st.integers(0, blocks // 48 - 1), max_size=3, unique=True)):
        # The same holds for sound; and where both are off by as much, they are right.
        least = smallest if first else smallest + 2
        bit = draw(st.sampled_from([bit for bit in bits[3:] if bit >= least]))
        off = draw(st.sampled_from([1, -1])) * 2**bit * TICK
        for number in range(first * 48, first * 48 + draw(st.integers(1, 24))):
            bad["audio", number] = off
    return bad


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.tuples(STEADY, damages(SMALLEST)),
        st.tuples(JOINED, damages(SMALLEST + 2)),
    ),
    LEADS,
)
def test_all_other_frames_are_where_they_would_be_without_outliers(
    drawn: tuple[Callable[[Fraction], Fraction], dict[tuple[str, int], Fraction]], lead: Fraction
) -> None:
    clock, bad = drawn
    frames = made(LENGTH, lead, clock)
    clean, found = placed(frames, {}), placed(frames, bad)
    for name, seconds in clean.items():
        if name not in bad:
            assert abs(found[name] - seconds) <= 2 * TICK, (name, float(seconds))


@pytest.mark.slow
@pytest.mark.parametrize("lead", [Fraction(-1, 2), Fraction(0), Fraction(1, 2)])
@pytest.mark.parametrize("loop", [Fraction(3, 2), Fraction(2), Fraction(8)])
def test_sound_and_picture_of_a_short_film_in_a_loop_stay_together(
    loop: Fraction, lead: Fraction
) -> None:
    frames = made(500, lead, lambda at: 5 + at % loop)
    found = placed(frames, {})
    for frame in frames:
        off = found[frame.kind, frame.number] - 5 - frame.seconds
        assert abs(off) <= 1 / RATE, (frame.kind, float(frame.seconds))


def run(
    of: Outliers[int], seconds: Sequence[float | None], passed: float | None = None
) -> list[tuple[int, float | None]]:
    """Which frames of a second each come out, and when they are."""
    tick = Fraction(1, 1000)
    out: list[tuple[int, float | None]] = []
    for number, at in enumerate(seconds):
        pts = None if at is None else round(at * 1000)
        for claim in of.push(Claim(number, pts, None, Fraction(1), tick, passed)):
            out.append((claim.frame, None if claim.at is None else float(claim.at)))
    return out


def pictures() -> Outliers[int]:
    return Outliers(Fraction(0), 4)


def test_a_leap_is_believed_when_the_next_frame_goes_on_from_it() -> None:
    of = pictures()
    assert run(of, [0, 1, 2, 60]) == [(0, 0), (1, 1), (2, 2)]
    assert run(of, [61, 62]) == [(3, 60), (0, 61), (1, 62)]
    assert run(of, [5, 6]) == [(0, 5), (1, 6)]
    assert of.moved == 0


def test_pauses_are_none_whatever_durations_say() -> None:
    of, out = pictures(), []
    for at, duration in ((0.0, 0.04), (0.04, 0.02), (1.5, 1.5), (1.52, 0.02), (3.5, 2.0)):
        claim = Claim(0, round(at * 1000), None, Fraction(duration), Fraction(1, 1000))
        out += [each.at for each in of.push(claim)]
    out += [each.at for each in of.finish()]
    assert [float(at) for at in out if at is not None] == [0, 0.04, 1.5, 1.52, 3.5]
    assert of.moved == 0


def test_a_picture_that_is_shown_for_long_is_kept_when_it_is_the_last() -> None:
    of = pictures()
    run(of, [0, 1, 2, 60])
    assert [claim.pts for claim in of.finish()] == [60_000]
    assert of.finish() == []
    # But not where the sound never came near it.
    of, sound = pictures(), Outliers[int](Fraction(1), 99)
    of.ask(sound)
    run(of, [0, 1, 2, 60])
    run(sound, [0, 1, 2, 3])
    assert [claim.pts for claim in of.finish()] == [None]


def test_real_time_and_the_other_stream_vouch_for_a_leap() -> None:
    assert run(pictures(), [0, 1, 7], passed=5.0)[-1] == (2, 7)
    assert run(pictures(), [0, 1, 7], passed=0.1)[-1] == (1, 1)
    of, sound = pictures(), Outliers[int](Fraction(1), 99)
    of.ask(sound)
    run(sound, [0, 1, 2, 30, 31, 32])
    assert run(of, [0, 1, 31])[-1] == (2, 31)


def test_a_slide_that_is_shown_for_long_waits_for_nothing_where_there_is_sound() -> None:
    of, sound = pictures(), Outliers[int](Fraction(1), 99)
    of.ask(sound)
    for second in range(30):
        run(sound, [second])
        if second % 3 == 0 and second:
            assert run(of, [second]) == [(0, second)]


def test_sound_and_picture_that_begin_together_vouch_for_each_other() -> None:
    of, sound = pictures(), Outliers[int](Fraction(1), 99)
    of.ask(sound)
    sound.ask(of)
    assert run(of, [7]) == []
    assert run(sound, [7]) == [(0, 7)]
    assert [claim.at for claim in of.settle()] == [7]
    assert of.settle() == sound.settle() == []
    # One of them joins another recording, and the other does so too.
    assert run(sound, [700]) == []
    assert run(of, [700]) == []
    assert run(of, [701]) == [(0, 700), (0, 701)]
    assert [claim.at for claim in sound.settle()] == [700]


def test_frames_held_are_bounded_and_come_out_in_order() -> None:
    of = pictures()
    wild = [float(k * k * 100) for k in range(50)]
    out = run(of, wild)
    assert [number for number, _ in out] == list(range(len(out)))
    assert len(out) + len(of.finish()) == len(wild)
    assert len(wild) - len(out) <= 4
    assert run(pictures(), [None] * 9) == [(k, None) for k in range(9)]


@given(st.lists(st.none() | st.integers(-(2**34), 2**34), max_size=60), st.integers(0, 3))
def test_whatever_the_source_says_every_frame_comes_out_once_in_order(
    ticks: list[int | None], length: int
) -> None:
    of = Outliers[int](Fraction(length), 8)
    out: list[int] = []
    for number, pts in enumerate(ticks):
        out += [c.frame for c in of.push(Claim(number, pts, pts, Fraction(1, 25), TICK))]
        assert number + 1 - len(out) <= 8
    out += [claim.frame for claim in of.finish()]
    assert out == list(range(len(ticks)))


class Feed(GrowingSource):
    """A file read as if a network sent it without end."""

    @property
    def endless(self) -> bool:
        return True


@pytest.fixture(scope="module")
def broadcast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("broadcast") / "film.ts"
    recipe = Recipe(
        codec="libx264",
        options={"bf": "2", "g": "12", "preset": "ultrafast"},
        sound=Tone(8.0, codec="mp2"),
    )
    clips = [Clip(still(texture(seed, 96, 64)), 50) for seed in range(4)]
    write_film(path, frames_of(clips, RATE), recipe)
    return path


def flipped(path: Path, target: Path, stream: int, number: int) -> Path:
    """The same broadcast with one wrong bit in the presentation time of one packet."""
    data = bytearray(path.read_bytes())
    seen = 0
    for start in range(0, len(data), PACKET):
        begins, adapted = data[start + 1] & 0x40, data[start + 3] & 0x20
        at = start + 4 + (1 + data[start + 4] if adapted else 0)
        if begins and data[at : at + 3] == b"\0\0\1" and data[at + 3] & 0xF0 == stream:
            seen += 1
            if seen == number:
                # Bit 30: three hours.
                data[at + 9] ^= 0x02
    assert seen > number
    target.write_bytes(data)
    return target


def times(path: Path, *, feed: bool = False) -> tuple[list[Fraction], list[Fraction]]:
    source = Feed(path, 0.2) if feed else FileSource(path)
    shown: list[Fraction] = []
    heard: list[Fraction] = []
    with Decoder(source, DecodeOptions(threads=1)) as decoder:
        try:
            for item in decoder:
                (shown if isinstance(item, Picture) else heard).append(item.start.seconds)
                assert item.gaps == 0
        except SourceClosed:
            assert feed
        assert decoder.stats.restarts == 0
    return shown, heard


@pytest.mark.slow
@pytest.mark.parametrize("feed", [False, True], ids=["file", "feed"])
@pytest.mark.parametrize(
    ("stream", "number"),
    [(0xE0, 1), (0xE0, 2), (0xE0, 60), (0xE0, 199), (0xC0, 1), (0xC0, 30)],
)
def test_one_flipped_bit_moves_no_frame(
    broadcast: Path, tmp_path: Path, stream: int, number: int, feed: bool
) -> None:
    bad = flipped(broadcast, tmp_path / "bad.ts", stream, number)
    assert bad.read_bytes() != broadcast.read_bytes()
    for clean, found in zip(times(broadcast), times(bad, feed=feed), strict=True):
        assert len(clean) == len(found)
        assert all(abs(a - b) <= 2 * TICK for a, b in zip(clean, found, strict=True))
