from __future__ import annotations

import time

import av
import numpy as np
import pytest

from streamer.shots.signature import Signature, Signer, is_flat, unlikeness
from tests.media import Pixels, texture


def frame(picture: Pixels, pixel_format: str = "yuv420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)


def sign(picture: Pixels, pixel_format: str = "yuv420p") -> Signature:
    return Signer().sign(frame(picture, pixel_format))


def grey(level: int, width: int = 640, height: int = 360) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "nv12", "rgb24", "gbrp"],
)
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (641, 363), (96, 54), (16, 16)])
def test_every_format_and_size_gives_much_the_same_numbers(
    pixel_format: str, width: int, height: int
) -> None:
    picture = texture(5, width, height)
    wanted = sign(picture)
    found = sign(picture, pixel_format)
    assert found.luma.shape == (18, 32)
    assert found.chroma.shape == (2, 9, 16)
    assert found.luma.dtype == found.chroma.dtype == np.float32
    # yuvj420p and gray use the full range: the same picture, slightly stretched.
    assert float(np.abs(found.luma - wanted.luma).max()) < 26
    assert unlikeness(found, wanted) < 0.02


def test_pooling_is_the_mean_of_a_block_and_leaves_the_frame_alone() -> None:
    luma = np.zeros((180, 320), np.uint8)
    luma[:, 160:] = 200
    picture = av.VideoFrame.from_ndarray(luma, format="gray")
    found = Signer().sign(picture)
    np.testing.assert_array_equal(found.luma[:, :16], 0)
    np.testing.assert_array_equal(found.luma[:, 16:], 200)
    np.testing.assert_array_equal(found.chroma, 128)
    np.testing.assert_array_equal(picture.to_ndarray(), luma)


def test_signatures_are_a_function_of_the_picture_alone() -> None:
    signer = Signer()
    first = signer.sign(frame(texture(1, 640, 360)))
    signer.sign(frame(texture(2, 64, 36), "rgb24"))
    again = signer.sign(frame(texture(1, 640, 360)))
    np.testing.assert_array_equal(first.luma, again.luma)
    np.testing.assert_array_equal(first.chroma, again.chroma)


def test_unlikeness_is_high_between_contents_and_low_within_one() -> None:
    picture = texture(1, 640, 360)
    here = sign(picture)
    assert unlikeness(here, here) == pytest.approx(0, abs=1e-4)
    darker = sign((picture * 0.5).astype(np.uint8))
    assert unlikeness(here, darker) < 0.05
    moved = sign(np.roll(picture, 24, axis=1))
    assert unlikeness(here, moved) < 0.2
    other = [unlikeness(here, sign(texture(seed, 640, 360))) for seed in range(2, 12)]
    assert min(other) > 0.3


def test_black_and_white_are_flat_and_unlike_anything_with_content() -> None:
    black, white, content = sign(grey(2)), sign(grey(252)), sign(texture(1, 640, 360))
    assert is_flat(black)
    assert is_flat(white)
    assert not is_flat(sign(grey(128)))
    assert not is_flat(content)
    assert unlikeness(black, black) == pytest.approx(0)
    assert unlikeness(content, black) > 0.7


def test_letterbox_bars_do_not_make_films_alike() -> None:
    pictures = [texture(seed, 640, 360) for seed in range(6)]
    for picture in pictures:
        picture[:48] = picture[-48:] = 0
    here = sign(pictures[0])
    assert min(unlikeness(here, sign(other)) for other in pictures[1:]) > 0.2
    white = grey(250)
    white[:48] = white[-48:] = 0
    assert is_flat(sign(white))


def test_signing_costs_far_less_than_a_full_conversion() -> None:
    picture = frame(texture(1, 1280, 720))
    signer = Signer()

    def best(work: object) -> float:
        assert callable(work)
        times = []
        for _ in range(30):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(lambda: signer.sign(picture)) < best(lambda: picture.to_ndarray(format="rgb24"))
