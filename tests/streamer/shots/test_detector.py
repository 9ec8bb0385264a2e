"""Either detector, in the stage that embeds shots."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
import torch

from streamer.config.sections import ShotsSection
from streamer.config.settings import Settings
from streamer.errors import WeightsMissing
from streamer.models.networks.transnetv2 import ShotNetwork
from streamer.models.weights.store import WeightStore
from streamer.pipeline.embedder import ShotEmbedder
from streamer.pipeline.engine import load_shot_network
from streamer.shots.base import ShotOptions
from streamer.shots.detector import ThumbnailDetector, TransnetDetector, make_detector
from streamer.timeline import Picture, StreamInfo, Timestamp
from tests.media import texture

CPU = torch.device("cpu")
RATE = Fraction(25)
CUTS = (52, 97, 160)
WIDTH, HEIGHT = 96, 54


def pictures() -> Iterator[Picture]:
    for index in range(CUTS[-1]):
        shot = sum(index >= cut for cut in CUTS)
        pixels = texture(40 + shot, WIDTH, HEIGHT)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
        yield Picture(Timestamp(index, 1 / RATE), frame)


INFO = StreamInfo(True, False, RATE, None, "test", "raw", None, WIDTH, HEIGHT)


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["thumbnails", "transnetv2"])
def test_cuts_are_found_and_only_thumbnails_can_be_resumed(
    detector: str, weight_store: WeightStore
) -> None:
    weight_store.pull("transnetv2")
    settings = ShotsSection(detector=detector)
    network = load_shot_network(settings, weight_store, CPU)
    assert (network is None) == (detector == "thumbnails")
    embedder = ShotEmbedder(INFO, (), settings.to(ShotOptions), shot_network=network)
    shots = [shot for picture in pictures() for shot in embedder.push(picture)]
    shots += embedder.finish()
    assert [shot.shot.end.seconds * RATE for shot in shots] == list(CUTS)
    assert [shot.shot.ended_by for shot in shots] == ["cut", "cut", "end"]
    assert (embedder.mark(0) is None) == (detector == "transnetv2")
    first = shots[0]
    seen = round((first.closed_at - first.shot.end.seconds) * RATE)
    latency = make_detector(settings.to(ShotOptions), RATE, network).latency_frames
    assert 4 <= seen <= latency


def test_the_choice_is_the_settings(weight_store: WeightStore, tmp_path: Path) -> None:
    weight_store.pull("transnetv2")
    chosen = Settings(shots=ShotsSection(detector="transnetv2")).shots
    assert isinstance(make_detector(ShotOptions(), RATE), ThumbnailDetector)
    network = ShotNetwork(weight_store.load("transnetv2"), CPU).predict
    assert isinstance(make_detector(chosen.to(ShotOptions), RATE, network), TransnetDetector)
    with pytest.raises(ValueError, match="needs its network"):
        make_detector(chosen.to(ShotOptions), RATE)
    with pytest.raises(WeightsMissing, match="transnetv2"):
        load_shot_network(chosen, WeightStore(tmp_path, offline=True), CPU)


def hard_pictures() -> Iterator[Picture]:
    """Sizes, formats, ranges and tags that change from picture to picture."""
    made = [
        ("yuv420p", 320, 180, {}),
        ("yuv420p10le", 64, 48, {"color_trc": 16, "color_primaries": 9, "colorspace": 9}),
        ("p010le", 64, 48, {"color_trc": 18, "color_primaries": 9, "colorspace": 9}),
        ("yuv420p", 16, 16, {}),
        ("yuv444p", 161, 121, {"color_range": 2}),
        ("gray", 97, 55, {}),
        ("rgb24", 1, 1, {}),
        ("yuvj420p", 40, 400, {}),
        ("yuv422p10le", 1280, 32, {}),
    ]
    for index in range(130):
        pixel_format, width, height, tags = made[index % len(made)]
        pixels = texture(index, width, height) * (index % 4 != 3)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pixel_format)
        for name, value in tags.items():
            setattr(frame, name, value)
        yield Picture(Timestamp(index, 1 / RATE), frame)


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["thumbnails", "transnetv2"])
def test_pictures_that_change_under_way_still_make_shots(
    detector: str, weight_store: WeightStore
) -> None:
    weight_store.pull("transnetv2")
    settings = ShotsSection(detector=detector)
    made = make_detector(
        settings.to(ShotOptions), RATE, load_shot_network(settings, weight_store, CPU)
    )
    shots = [shot for picture in hard_pictures() for shot in made.push(picture).closed]
    shots += made.finish(Timestamp(130, 1 / RATE))
    assert (shots[0].start.pts, shots[-1].end.pts) == (0, 130)
    assert all(before.end == after.start for before, after in pairwise(shots))
