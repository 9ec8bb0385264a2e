from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt
from streamer.models.networks.transnetv2 import ShotNetwork
from streamer.models.weights.store import WeightStore
from streamer.shots.base import MAX_DELAY, ShotOptions
from streamer.shots.transnet import HEIGHT, WIDTH, WINDOW, Network, Thumbnailer, TransnetSplitter
from streamer.timeline import Shot, Timestamp
from tests.media import texture

BASE = Fraction(1, 25)
# What the released network's published code computes for the pictures of `film`.
GOLDEN = json.loads(Path(__file__).with_name("transnet.json").read_text())


@pytest.fixture(scope="module")
def network(weight_store: WeightStore) -> ShotNetwork:
    weight_store.pull("transnetv2")
    return ShotNetwork(weight_store.load("transnetv2"), torch.device("cpu"))


def film() -> NDArray[np.uint8]:
    """120 small pictures: pans over three scenes, and a leap back within one."""
    pictures = []
    for index in range(120):
        wide = texture(20 + (index >= 37) + (index >= 80), 96, 54)
        at = (index % 37) // 3
        pictures.append(wide[at : at + HEIGHT, at : at + WIDTH])
    return np.stack(pictures)


def at(index: int) -> Timestamp:
    return Timestamp(index, BASE)


def stream(splitter: TransnetSplitter, pictures: NDArray[np.uint8]) -> tuple[list[Shot], list[int]]:
    """All shots, and how many pictures had been pushed when each came out."""
    shots: list[Shot] = []
    pushed: list[int] = []
    watermark = at(0)
    for index, picture in enumerate(pictures):
        step = splitter.push(at(index), picture)
        assert all(shot.end >= watermark for shot in step.closed)
        assert step.watermark >= watermark
        watermark = step.watermark
        shots += step.closed
        pushed += [index + 1] * len(step.closed)
    rest = splitter.finish(at(len(pictures)))
    return shots + list(rest), pushed + [len(pictures)] * len(rest)


def tiled(shots: list[Shot], pictures: int) -> None:
    assert [shot.index for shot in shots] == list(range(len(shots)))
    assert (shots[0].start, shots[-1].end) == (at(0), at(pictures))
    assert all(before.end == after.start for before, after in pairwise(shots))


class Recorded:
    """Notes what a network says in the middle of every window."""

    def __init__(self, network: ShotNetwork) -> None:
        self._network = network
        self.certain: list[float] = []

    def __call__(self, window: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = self._network.predict(window)
        self.certain += found[25:75].tolist()
        return found


@pytest.mark.slow
def test_streaming_gives_what_the_published_code_gives_offline(network: ShotNetwork) -> None:
    recorded = Recorded(network)
    shots, pushed = stream(TransnetSplitter(ShotOptions(), recorded), film())
    np.testing.assert_allclose(recorded.certain[:120], GOLDEN, atol=2e-6)
    assert [(shot.end.pts, shot.ended_by) for shot in shots] == [
        (37, "cut"),
        (74, "cut"),
        (120, "end"),
    ]
    assert pushed == [75, 120, 120]
    tiled(shots, 120)


def test_wrong_tensors_are_named(weight_store: WeightStore) -> None:
    weight_store.pull("transnetv2")
    tensors = weight_store.load("transnetv2")
    del tensors["fc1.bias"]
    with pytest.raises(WeightsCorrupt, match=r"transnetv2: tensor fc1\.bias is missing"):
        ShotNetwork(tensors, torch.device("cpu"))


def numbered(pictures: int) -> NDArray[np.uint8]:
    """Pictures that carry their number."""
    made = np.zeros((pictures, HEIGHT, WIDTH, 3), np.uint8)
    made[:, 0, 0, 0] = np.arange(pictures) % 256
    made[:, 0, 0, 1] = np.arange(pictures) // 256
    return made


def offline(marks: list[bool], shortest: int) -> list[tuple[int, str]]:
    """Where the shots of a whole recording end."""
    ends, last, run = [], 0, 0
    for index, marked in enumerate(marks):
        if marked:
            run += 1
            continue
        if run and index - last >= shortest:
            ends.append((index, "cut" if run <= 2 else "gradual"))
            last = index
        run = 0
    return [*ends, (len(marks), "end")]


def marked(marks: list[bool]) -> Network:
    """Says of numbered pictures what is given."""

    def network(window: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert window.shape == (WINDOW, HEIGHT, WIDTH, 3)
        numbers = window[:, 0, 0, 0].astype(int) + 256 * window[:, 0, 0, 1].astype(int)
        # Consecutive, but for the ends of the recording.
        assert set(np.diff(numbers)) <= {0, 1}
        return np.array([marks[number] for number in numbers], np.float32)

    return network


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=1, max_size=200),
    st.lists(st.sampled_from([1, 2, 7, 15, 28, 10**9]), min_size=7, max_size=7),
)
def test_rare_pictures_are_decided_within_the_longest_delay(
    marks: list[bool], steps: list[int]
) -> None:
    splitter = TransnetSplitter(ShotOptions(max_seconds=1e12), marked(marks))
    times = np.cumsum([steps[k % 7] for k in range(len(marks) + 1)]).tolist()
    shots: list[Shot] = []
    for second, picture in zip(times, numbered(len(marks)), strict=False):
        step = splitter.push(Timestamp(second, Fraction(1)), picture)
        assert 0 <= second - step.watermark.seconds <= MAX_DELAY
        shots += step.closed
    shots += splitter.finish(Timestamp(times[-1], Fraction(1)))
    ends = [(times[index], kind) for index, kind in offline(marks, 1)]
    assert [(shot.end.pts, shot.ended_by) for shot in shots] == ends


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=333))
def test_any_marks_in_windows_are_what_they_are_at_once(marks: list[bool]) -> None:
    splitter = TransnetSplitter(ShotOptions(max_seconds=100.0), marked(marks))
    shots, pushed = stream(splitter, numbered(len(marks)))
    tiled(shots, len(marks))
    assert [(shot.end.pts, shot.ended_by) for shot in shots] == offline(marks, 10)
    for shot, count in zip(shots[:-1], pushed, strict=False):
        # A picture more or less: the first one of the next shot is one of those pushed.
        assert count - shot.end.pts <= splitter.latency_frames + 1


def never(window: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.zeros(len(window), np.float32)


def test_long_shots_are_closed() -> None:
    splitter = TransnetSplitter(ShotOptions(max_seconds=2.0), never)
    shots, _ = stream(splitter, numbered(170))
    assert [(shot.end.pts, shot.ended_by) for shot in shots] == [
        (50, "forced"),
        (100, "forced"),
        (150, "forced"),
        (170, "end"),
    ]


def test_no_pictures_no_shots_and_time_only_grows() -> None:
    splitter = TransnetSplitter(ShotOptions(), never)
    assert splitter.finish(at(3)) == ()
    picture = numbered(1)[0]
    splitter.push(at(3), picture)
    with pytest.raises(ValueError, match="not after the last"):
        splitter.push(at(3), picture)
    with pytest.raises(ValueError, match="before the last frame"):
        splitter.finish(at(2))


@pytest.mark.parametrize(
    ("width", "height", "pixel_format"),
    [(1280, 720, "yuv420p"), (16, 16, "yuv420p10le"), (101, 77, "rgb24"), (640, 360, "gray")],
)
def test_any_picture_becomes_a_small_one(width: int, height: int, pixel_format: str) -> None:
    made = av.VideoFrame.from_ndarray(texture(3, width, height), "rgb24")
    small = Thumbnailer().make(made.reformat(format=pixel_format))
    assert small.shape == (HEIGHT, WIDTH, 3)
    assert small.dtype == np.uint8
    if pixel_format == "rgb24":
        assert abs(float(small.mean()) - float(texture(3, width, height).mean())) < 3
