from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.shots.base import MAX_DELAY, ShotOptions
from streamer.shots.signature import Signature, Signer
from streamer.shots.thumbnails import ShotSplitter
from streamer.timeline import Shot, Timestamp
from tests.media import Clip, Painter, Pixels, frames_of, panning, still, texture

WIDTH, HEIGHT = 256, 144
SETTINGS = ShotOptions()
RATE = Fraction(25)


def scene(seed: int) -> Painter:
    return still(texture(seed, WIDTH, HEIGHT))


def signatures(pictures: Sequence[Pixels], noise: float = 0.0) -> list[Signature]:
    signer, rng, found = Signer(), np.random.default_rng(0), []
    for picture in pictures:
        if noise:
            grain = rng.normal(0, noise, (HEIGHT, WIDTH, 1))
            picture = (picture + grain).clip(0, 255).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        found.append(signer.sign(frame.reformat(format="yuv420p")))
    return found


def split(
    found: Sequence[Signature],
    rate: Fraction = RATE,
    shots: ShotOptions = SETTINGS,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
) -> list[Shot]:
    base = time_base or 1 / rate
    ticks = list(times) if times is not None else list(range(len(found) + 1))
    splitter = ShotSplitter(shots, rate)
    closed: list[Shot] = []
    for tick, signature in zip(ticks, found, strict=False):
        closed += splitter.push(Timestamp(tick, base), signature).closed
    closed += splitter.finish(Timestamp(ticks[len(found)], base))
    return closed


def film(
    clips: Sequence[Clip], rate: Fraction = RATE, noise: float = 2.0, shots: ShotOptions = SETTINGS
) -> list[Shot]:
    return split(signatures(list(frames_of(clips, rate)), noise), rate, shots)


def cuts(shots: Sequence[Shot]) -> list[tuple[int, str]]:
    return [(s.end.pts, s.ended_by) for s in shots if s.ended_by != "end"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "rate", [Fraction(10), Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001)]
)
def test_hard_cuts_are_found_to_the_frame(rate: Fraction) -> None:
    length = round(rate)
    clips = [Clip(scene(seed), length) for seed in range(8)]
    assert cuts(film(clips, rate)) == [(length * k, "cut") for k in range(1, 8)]


def test_cuts_between_moving_cameras_are_found() -> None:
    clips = [Clip(panning(seed, WIDTH, HEIGHT, speed=0.4), 40) for seed in range(8)]
    assert cuts(film(clips)) == [(40 * k, "cut") for k in range(1, 8)]


def test_cuts_back_and_forth_between_two_pictures_are_all_found() -> None:
    clips = [Clip(scene(seed % 2), 15) for seed in range(10)]
    assert cuts(film(clips)) == [(15 * k, "cut") for k in range(1, 10)]


def test_cuts_between_views_of_one_place_are_found() -> None:
    place = texture(4, WIDTH * 3, HEIGHT)
    views = [place[:, k * WIDTH * 2 // 3 :][:, :WIDTH] for k in range(4)]
    assert cuts(film([Clip(still(view), 30) for view in views])) == [
        (30, "cut"),
        (60, "cut"),
        (90, "cut"),
    ]


@pytest.mark.parametrize("frames", [8, 12, 25, 50])
def test_a_dissolve_is_one_cut(frames: int) -> None:
    clips = [Clip(scene(1), 60), Clip(scene(2), frames + 50, dissolve=frames)]
    ((at, kind),) = cuts(film(clips))
    assert 60 <= at <= 60 + frames + 8
    assert kind == "gradual"


@pytest.mark.slow
@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("frames", [12, 25, 50])
def test_a_fade_is_one_cut(colour: int, frames: int) -> None:
    fade = Clip(scene(2), frames + 50, dissolve=frames, through=colour)
    ((at, kind),) = cuts(film([Clip(scene(1), 60), fade]))
    assert 60 <= at <= 60 + frames + 8
    assert kind in ("gradual", "cut")


def test_a_fade_that_stays_black_is_one_cut() -> None:
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    fade = list(frames_of([Clip(scene(1), 40), Clip(scene(2), 75, 25, through=0)], RATE))
    middle = 40 + 12
    pictures = [*fade[:middle], *[black] * 30, *fade[middle:]]
    ((at, _),) = cuts(split(signatures(pictures, 1.0)))
    assert middle <= at <= middle + 30 + 12


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kind", ["white", "black", "bright", "other"])
def test_a_flash_is_no_cut(length: int, kind: str) -> None:
    pictures = list(frames_of([Clip(panning(1, WIDTH, HEIGHT), 60)], RATE))
    for k in range(30, 30 + length):
        here = pictures[k].astype(np.float64)
        flash = {
            "white": here * 0 + 255,
            "black": here * 0,
            "bright": here * 0.3 + 180,
            "other": texture(9, WIDTH, HEIGHT).astype(np.float64),
        }[kind]
        pictures[k] = flash.clip(0, 255).astype(np.uint8)
    assert cuts(split(signatures(pictures, 2.0))) == []


def test_a_flash_does_not_hide_a_cut() -> None:
    pictures = list(frames_of([Clip(scene(1), 40), Clip(scene(2), 40)], RATE))
    pictures[40] = np.full_like(pictures[40], 255)
    assert [at for at, _ in cuts(split(signatures(pictures, 2.0)))] in ([40], [41])


def test_light_exposure_and_noise_are_no_cuts() -> None:
    picture = texture(3, WIDTH, HEIGHT).astype(np.float64)
    gain = 0.75 + 0.4 * np.sin(np.arange(200) / 9)
    pictures = [(picture * g).clip(0, 255).astype(np.uint8) for g in gain]
    assert cuts(split(signatures(pictures, 8.0))) == []


@pytest.mark.parametrize("speed", [0.2, 0.5, 1.0])
def test_camera_moves_are_no_cuts(speed: float) -> None:
    clips = [Clip(panning(seed, WIDTH, HEIGHT, speed=speed), 150) for seed in (1,)]
    assert cuts(film(clips)) == []


def test_something_that_crosses_the_picture_is_no_cut() -> None:
    pictures = list(frames_of([Clip(scene(1), 80)], RATE))
    for k in range(20, 60):
        left = (k - 20) * WIDTH // 40 - WIDTH // 4
        pictures[k] = pictures[k].copy()
        pictures[k][20:, max(0, left) : max(0, left + WIDTH // 3)] = (200, 40, 40)
    assert cuts(split(signatures(pictures, 2.0))) == []


def test_a_frozen_or_black_picture_is_closed_by_force_on_time() -> None:
    for picture in (texture(1, WIDTH, HEIGHT), np.zeros((HEIGHT, WIDTH, 3), np.uint8)):
        found = signatures([picture]) * 1000
        closed = split(found, shots=ShotOptions(max_seconds=12.0))
        assert cuts(closed) == [(300, "forced"), (600, "forced"), (900, "forced")]


def test_a_real_cut_right_after_a_forced_close_is_kept() -> None:
    clips = [Clip(scene(1), 78), Clip(scene(2), 40)]
    closed = film(clips, shots=ShotOptions(max_seconds=3.0))
    assert cuts(closed) == [(75, "forced"), (78, "cut")]


def test_force_waits_for_the_next_picture_on_variable_frame_rates() -> None:
    found = signatures([texture(1, WIDTH, HEIGHT)]) * 5
    times = [0, 900, 2_500, 3_700, 4_000, 4_100]
    closed = split(
        found, shots=ShotOptions(max_seconds=2.0), times=times, time_base=Fraction(1, 1000)
    )
    assert cuts(closed) == [(2_500, "forced")]
    assert closed[-1].end.pts == 4_100


def test_cuts_on_a_variable_frame_rate_keep_their_own_time() -> None:
    found = signatures(list(frames_of([Clip(scene(k), 25) for k in range(4)], RATE)), 2.0)
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.integers(20, 90, len(found) + 1)).tolist()
    closed = split(found, times=times, time_base=Fraction(1, 1000))
    assert cuts(closed) == [(times[k], "cut") for k in (25, 50, 75)]


def test_the_delay_is_what_the_property_says() -> None:
    found = signatures(list(frames_of([Clip(scene(1), 30), Clip(scene(2), 30)], RATE)))
    for latency in (2, 4, 9):
        splitter = ShotSplitter(ShotOptions(latency_frames=latency), RATE)
        assert splitter.latency_frames == latency
        for tick, signature in enumerate(found):
            step = splitter.push(Timestamp(tick, 1 / RATE), signature)
            assert bool(step.closed) == (tick == 30 + latency)
    assert ShotSplitter(SETTINGS, Fraction(50)).latency_frames == 8
    assert ShotSplitter(SETTINGS, Fraction(10)).latency_frames == 4
    assert ShotSplitter(SETTINGS, None).latency_frames == 4


POOL = signatures([texture(seed, WIDTH, HEIGHT) for seed in range(4)])
POOL.append(signatures([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])[0])


def test_cuts_between_rare_pictures_are_found_within_the_longest_delay() -> None:
    found = signatures([texture(k // 8, WIDTH, HEIGHT) for k in range(24)], 2.0)
    for step in (3, 9, 19, 25):
        times = [step * k for k in range(len(found) + 1)]
        shots = ShotOptions(max_seconds=1000.0)
        closed = split(found, shots=shots, times=times, time_base=Fraction(1))
        assert cuts(closed) == [(8 * step, "cut"), (16 * step, "cut")]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from([1, 40, 900, 6_000, 19_000, 45_000, 10**12]), min_size=5, max_size=60),
    st.sampled_from([1, 4, 48]),
)
def test_no_picture_waits_longer_than_the_longest_delay(steps: list[int], latency: int) -> None:
    splitter = ShotSplitter(ShotOptions(latency_frames=latency), None)
    for number, at in enumerate(np.cumsum(steps).tolist()):
        step = splitter.push(Timestamp(at, Fraction(1, 1000)), POOL[number // 4 % len(POOL)])
        assert 0 <= Fraction(at, 1000) - step.watermark.seconds <= MAX_DELAY


def test_pictures_must_come_in_order() -> None:
    splitter = ShotSplitter(SETTINGS, RATE)
    assert splitter.finish(Timestamp(5, 1 / RATE)) == ()
    signature = signatures([texture(1, WIDTH, HEIGHT)])[0]
    splitter.push(Timestamp(3, 1 / RATE), signature)
    with pytest.raises(ValueError, match="not after"):
        splitter.push(Timestamp(3, 1 / RATE), signature)
    with pytest.raises(ValueError, match="before the last"):
        splitter.finish(Timestamp(2, 1 / RATE))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 4)), min_size=1, max_size=12),
    st.lists(st.integers(1, 4000), min_size=8, max_size=8),
    st.sampled_from([1, 4, 7]),
)
def test_shots_tile_the_timeline_whatever_comes(
    runs: list[tuple[int, int]], gaps: list[int], latency: int
) -> None:
    shots = ShotOptions(latency_frames=latency, max_seconds=3.0, min_seconds=0.4)
    base = Fraction(1, 1000)
    found = [POOL[which] for count, which in runs for _ in range(count)]
    # One gap in eight may be seconds long: a slide show, or a hole in the recording.
    steps = [gaps[k % 8] if k % 8 == 0 else 20 + gaps[k % 8] % 80 for k in range(len(found))]
    times = np.cumsum(steps).tolist()
    splitter = ShotSplitter(shots, None)
    closed: list[Shot] = []
    marks: list[tuple[Fraction, int]] = []
    for tick, signature in zip(times, found, strict=True):
        step = splitter.push(Timestamp(tick, base), signature)
        closed += step.closed
        marks.append((step.watermark.seconds, len(closed)))
    end = Timestamp(times[-1] + 40, base)
    closed += splitter.finish(end)

    assert closed[0].start.pts == times[0]
    assert closed[-1].end == end
    assert [s.index for s in closed] == list(range(len(closed)))
    assert [s.ended_by == "end" for s in closed] == [False] * (len(closed) - 1) + [True]
    assert all(a.end == b.start for a, b in itertools.pairwise(closed))
    edges = [*times, end.pts]
    for shot in closed:
        assert shot.duration > 0
        # No longer than the limit and the one picture that crossed it.
        last = max(t for t in edges if t < shot.end.pts)
        assert Fraction(last, 1000) - shot.start.seconds < 3
        assert shot.start.pts in times
    real = [times[0], *(s.end.pts for s in closed if s.ended_by in ("cut", "gradual"))]
    assert all(b - a >= 400 for a, b in itertools.pairwise(real))

    assert [m for m, _ in marks] == sorted(m for m, _ in marks)
    for mark, known in marks:
        assert all(shot.end.seconds >= mark for shot in closed[known:])


def test_the_same_input_gives_the_same_shots() -> None:
    clips = [Clip(panning(seed, WIDTH, HEIGHT), 30 + seed) for seed in range(5)]
    assert film(clips) == film(clips)


def test_a_damaged_picture_is_no_evidence_for_a_cut() -> None:
    """It counts as the one before shown again: cuts are found beside it, and none in it."""
    calm, other = POOL[0], POOL[1]
    for damaged in ({30}, {29, 30, 31}, {60}, {59, 60}, {58, 59, 60, 61}):
        splitter = ShotSplitter(ShotOptions(), RATE)
        closed: list[Shot] = []
        for tick in range(100):
            signature = None if tick in damaged else calm if tick < 60 else other
            closed += splitter.push(Timestamp(tick, 1 / RATE), signature).closed
        closed += splitter.finish(Timestamp(100, 1 / RATE))
        first = min(tick for tick in range(60, 100) if tick not in damaged)
        assert [shot.end.pts for shot in closed] == [first, 100]


def test_the_first_picture_has_to_be_whole() -> None:
    with pytest.raises(ValueError, match="first frame"):
        ShotSplitter(ShotOptions(), RATE).push(Timestamp(0, 1 / RATE), None)
