"""All nine aspects with real weights, on streams that change under way."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamer.aspects.bank import AspectBank
from streamer.config.sections import AspectsSection
from streamer.extractor import Extractor
from streamer.models.networks.registry import build
from streamer.models.weights.store import WeightStore
from streamer.timeline import EmbeddedShot, Picture, Shot, Sound, Timestamp
from tests.media import Recipe, texture, write_film
from tests.models.networks.faces import SITTERS, portrait

SETTINGS = AspectsSection()
SECONDS = 3
PICTURE_RATE = 12
MS = Fraction(1, 1000)

Samples = NDArray[np.float64] | NDArray[np.float32] | NDArray[np.int32] | NDArray[np.int16]


@pytest.fixture(scope="module")
def extractors(weight_store: WeightStore) -> list[Extractor]:
    return [
        build(aspect, section.network, weight_store, torch.device("cpu"), Fraction(2))
        for aspect, section in SETTINGS.slots.items()
    ]


def picture(second: Fraction, frame: av.VideoFrame) -> Picture:
    return Picture(Timestamp(round(second / MS), MS), frame)


def frame(seed: int, width: int, height: int, pixel_format: str = "yuv420p") -> av.VideoFrame:
    made = av.VideoFrame.from_ndarray(texture(seed, width, height), "rgb24")
    return made.reformat(format=pixel_format)


def sound(second: Fraction, samples: Samples, rate: int, kind: str, layout: str) -> Sound:
    made = av.AudioFrame.from_ndarray(samples, kind, layout)
    made.sample_rate = rate
    return Sound(Timestamp(round(second * rate), Fraction(1, rate)), made)


def noise(rate: int, count: int, level: float = 0.2, seed: int = 0) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((1, count)) * level
    return values.astype(np.float32)


def run(
    extractors: list[Extractor],
    pictures: list[Picture],
    sounds: list[Sound],
    *,
    cuts: tuple[Fraction, ...] = (),
    batch: int = 4,
) -> list[EmbeddedShot]:
    """Feeds a stream in order of time, closing a shot at every cut and at the end."""
    bank = AspectBank(extractors, batch=batch, max_interleave=Fraction(3), has_sound=bool(sounds))
    every: list[Picture | Sound] = [*sounds, *pictures]
    items = sorted(every, key=lambda item: item.start.seconds)
    bank.begin(items[0].start.seconds)
    edges = [items[0].start.seconds, *cuts, Fraction(SECONDS)]
    shots = [
        Shot(index, Timestamp(round(a / MS), MS), Timestamp(round(b / MS), MS), "cut")
        for index, (a, b) in enumerate(pairwise(edges))
    ]
    done: list[EmbeddedShot] = []
    waiting = list(shots)
    for item in items:
        closed = []
        while waiting and item.start.seconds >= waiting[0].end.seconds:
            closed.append(waiting.pop(0))
        if isinstance(item, Picture):
            bank.push_picture(item)
        else:
            bank.push_sound(item)
        done += bank.advance(item.start.seconds, closed)
    bank.end_sound()
    done += bank.advance(Fraction(SECONDS), waiting)
    assert [each.shot for each in done] == shots
    dims = {extractor.aspect: extractor.dim for extractor in extractors}
    for each in done:
        for aspect, tokens in each.tokens.items():
            assert tokens.dtype == np.float32
            assert tokens.shape[1] == dims[aspect]
            assert len(tokens) > 0
            assert np.isfinite(tokens).all(), aspect
    return done


def steady_sound(rate: int = 16000, level: float = 0.2) -> list[Sound]:
    block = rate // 10
    whole = noise(rate, SECONDS * rate, level)
    return [
        sound(Fraction(start, rate), whole[:, start : start + block].copy(), rate, "flt", "mono")
        for start in range(0, SECONDS * rate, block)
    ]


def steady_pictures(made: list[av.VideoFrame]) -> list[Picture]:
    count = SECONDS * PICTURE_RATE
    return [picture(Fraction(i, PICTURE_RATE), made[i * len(made) // count]) for i in range(count)]


SOUNDS = {"speaker", "vggish", "panns", "openl3", "musicnn", "stft"}


@pytest.mark.slow
def test_all_nine_aspects(extractors: list[Extractor]) -> None:
    people = [
        av.VideoFrame.from_ndarray(
            np.ascontiguousarray(
                portrait(sitter, 216, 384, at=(0.5, 0.3 + step / 24)).permute(1, 2, 0).numpy()
            ),
            "rgb24",
        )
        for sitter in SITTERS[:2]
        for step in range(12)
    ]
    cut = Fraction(3, 2)
    first, second = run(extractors, steady_pictures(people), steady_sound(), cuts=(cut,))
    assert set(first.tokens) == set(second.tokens) == SOUNDS | {"place", "cast", "action"}
    assert np.linalg.norm(first.tokens["cast"] - second.tokens["cast"], axis=1).min() > 0.3


def test_batches_change_nothing(extractors: list[Extractor]) -> None:
    pictures = steady_pictures([frame(seed, 96, 64) for seed in range(9)])
    sounds = steady_sound()
    alone = run(extractors, pictures, sounds, cuts=(Fraction(1),), batch=1)
    # Frames may be consumed; the second run gets its own.
    pictures = steady_pictures([frame(seed, 96, 64) for seed in range(9)])
    together = run(extractors, pictures, steady_sound(), cuts=(Fraction(1),), batch=16)
    for one, other in zip(alone, together, strict=True):
        assert set(one.tokens) == set(other.tokens)
        for aspect, tokens in one.tokens.items():
            scale = np.linalg.norm(tokens, axis=1, keepdims=True) + 1e-6
            assert (np.abs(tokens - other.tokens[aspect]) / scale).max() < 1e-5


def test_pictures_that_change_under_way(extractors: list[Extractor]) -> None:
    made = [
        frame(1, 320, 180),
        frame(2, 16, 16),
        frame(3, 161, 121, "yuv444p"),
        frame(4, 64, 48, "yuv420p10le"),
        frame(5, 64, 48, "gray"),
        frame(6, 97, 55, "rgb24"),
        frame(7, 1, 1, "rgb24"),
        frame(8, 1280, 32),
        frame(9, 64, 48, "yuvj420p"),
        frame(10, 64, 48, "p010le"),
        frame(11, 64, 48, "yuv422p"),
        frame(12, 40, 400),
    ]
    (shot,) = run(extractors, steady_pictures(made), [])
    assert {"place", "action"} <= set(shot.tokens)
    assert not SOUNDS & set(shot.tokens)


def test_interlaced_pictures(extractors: list[Extractor]) -> None:
    film = BytesIO()
    recipe = Recipe(codec="mpeg2video", options={"flags": "+ildct+ilme"})
    write_film(film, [texture(index, 96, 64) for index in range(6)], recipe, container="mpegts")
    film.seek(0)
    with av.open(film, "r") as opened:
        frames = list(opened.decode(video=0))
    assert all(each.interlaced_frame for each in frames)
    (shot,) = run(extractors, steady_pictures(frames), [])
    assert {"place", "action"} <= set(shot.tokens)


def test_a_rotated_film_is_seen_upright(extractors: list[Extractor]) -> None:
    upright = portrait(SITTERS[0], 384, 216, size=0.25).permute(1, 2, 0).numpy()

    def decoded(pixels: NDArray[np.uint8], degrees: int) -> list[av.VideoFrame]:
        film = BytesIO()
        with av.open(film, "w", format="mp4") as output:
            stream = output.add_stream("mpeg4", rate=PICTURE_RATE, options={"qscale": "2"})
            stream.height, stream.width = pixels.shape[:2]
            stream.set_display_rotation(degrees)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                output.mux(packet)
            for packet in stream.encode(None):
                output.mux(packet)
        film.seek(0)
        with av.open(film, "r") as opened:
            return list(opened.decode(video=0))

    plain = decoded(np.ascontiguousarray(upright), 0)
    lying = decoded(np.ascontiguousarray(np.rot90(upright)), -90)
    assert {lying[0].width, lying[0].height} == {216, 384}
    assert lying[0].rotation % 360 in (90, 270)
    (one,) = run(extractors, steady_pictures(plain), [])
    (other,) = run(extractors, steady_pictures(lying), [])
    assert np.linalg.norm(one.tokens["cast"] - other.tokens["cast"], axis=1).max() < 0.2


def test_black_and_silence(extractors: list[Extractor]) -> None:
    black = av.VideoFrame.from_ndarray(np.zeros((36, 64, 3), np.uint8), "rgb24")
    (shot,) = run(extractors, steady_pictures([black]), steady_sound(level=0.0))
    assert set(shot.tokens) == {"place", "action"}
    assert not shot.tokens["action"].any()


def test_sound_that_changes_under_way(extractors: list[Extractor]) -> None:
    blocks: list[Sound] = []
    at = Fraction(0)
    kinds = [
        (8000, "flt", "mono"),
        (48000, "flt", "stereo"),
        (44100, "s16", "mono"),
        (96000, "flt", "5.1"),
        (22050, "u8", "mono"),
        (16000, "s32", "stereo"),
    ]
    for number, (rate, kind, layout) in enumerate(kinds):
        channels = av.AudioLayout(layout).nb_channels
        for _ in range(5):
            values = noise(rate, rate // 10 * channels, seed=number)
            if kind == "s16":
                values = (values * 32767).clip(-32768, 32767).astype(np.int16)
            elif kind == "s32":
                values = (values * 2**31).clip(-(2**31), 2**31 - 1).astype(np.int32)
            elif kind == "u8":
                values = (values * 127 + 128).clip(0, 255).astype(np.uint8)
            blocks.append(sound(at, values, rate, kind, layout))
            at += Fraction(1, 10)
    (shot,) = run(extractors, [], blocks)
    assert set(shot.tokens) == SOUNDS


@pytest.mark.parametrize("fault", ["clipped", "constant", "broken", "infinite", "huge"])
def test_sound_that_is_wrong(extractors: list[Extractor], fault: str) -> None:
    rate = 16000
    whole = noise(rate, SECONDS * rate)
    if fault == "clipped":
        whole = np.sign(whole).astype(np.float32)
    elif fault == "constant":
        whole[:] = 0.7
    elif fault == "broken":
        whole[:, ::5] = np.nan
    elif fault == "infinite":
        whole[:, ::3] = np.inf
        whole[:, 1::3] = -np.inf
    else:
        whole *= 1e20
    blocks = [
        sound(Fraction(start, rate), whole[:, start : start + 1600].copy(), rate, "flt", "mono")
        for start in range(0, SECONDS * rate, 1600)
    ]
    (shot,) = run(extractors, [], blocks)
    assert set(shot.tokens) <= SOUNDS
    if fault != "infinite":
        assert set(shot.tokens) == SOUNDS


def test_single_samples(extractors: list[Extractor]) -> None:
    rate = 8000
    whole = noise(rate, rate // 2)
    blocks = [
        sound(Fraction(index, rate), whole[:, index : index + 1].copy(), rate, "flt", "mono")
        for index in range(rate // 2)
    ]
    only = [extractor for extractor in extractors if extractor.aspect in ("stft", "speaker")]
    (shot,) = run(only, [], blocks)
    # Most of the shot's three seconds was never heard; its first half second was.
    assert "stft" in shot.tokens
