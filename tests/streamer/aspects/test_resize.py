from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from streamer.aspects.video import Resizer
from streamer.shots.signature import Signer
from streamer.shots.transnet import Thumbnailer
from streamer.timeline import Picture, Timestamp


def picture(width: int, height: int) -> Picture:
    """Left third red, the rest green."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 3, 0] = 250
    rgb[:, width // 3 :, 1] = 250
    return Picture(Timestamp(0, Fraction(1)), av.VideoFrame.from_ndarray(rgb, "rgb24"))


def threads() -> int:
    """Of this process, those of native libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


def shown(small: torch.Tensor) -> tuple[int, int]:
    """Height and width of what is not black."""
    lit = small.amax(dim=0) > 60
    return int(lit.any(1).sum()), int(lit.any(0).sum())


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1920, 1080, (108, 192)),
        (1000, 1000, (108, 108)),
        (1920, 800, (80, 192)),
        (60, 900, (108, 7)),
    ],
)
def test_the_aspect_ratio_is_kept_in_the_upper_left_corner(
    width: int, height: int, expected: tuple[int, int]
) -> None:
    small = Resizer(108, 192, keep_aspect=True)(picture(width, height))
    assert small.shape == (3, 108, 192)
    assert shown(small) == expected
    assert (small[:, 0, 0] > torch.tensor([200, -1, -1])).all()


def test_without_it_the_picture_is_stretched() -> None:
    assert shown(Resizer(108, 192)(picture(300, 1000))) == (108, 192)


def test_grey_is_one_channel() -> None:
    small = Resizer(36, 64, grey=True)(picture(640, 360))
    assert small.shape == (1, 36, 64)
    # Green is brighter than red.
    assert small[0, :, 40:].float().mean() > small[0, :, :15].float().mean() + 50


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_no_resize_starts_threads() -> None:
    """A process holds one for every size of every stream: a thread a core each would pile up."""
    tall = av.VideoFrame.from_ndarray(np.zeros((720, 1280, 3), np.uint8), "rgb24")
    frame = tall.reformat(format="yuv420p10le")
    started = threads()
    resizer, signer, thumbnailer = Resizer(64, 64), Signer(), Thumbnailer()
    resizer(Picture(Timestamp(0, Fraction(1)), frame))
    signer.sign(frame)
    thumbnailer.make(frame)
    assert threads() == started
