"""Decoding on a GPU is a choice; its pictures are seen as those of the CPU."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from connectors.sources.registry import open_source
from streamer.aspects.resize import Resizer
from streamer.config.sections import DecodeSection, SourceSection
from streamer.decode.decoder import Decoder
from streamer.decode.hardware import accelerator, has_nvdec
from streamer.errors import DeviceError
from streamer.shots.signature import Signer
from streamer.timeline import Instant, Picture
from tests.media import Clip, Recipe, frames_of, panning, texture, write_film

NO_GPU = pytest.mark.skipif(has_nvdec(), reason="a GPU decodes here")
GPU = pytest.mark.skipif(not has_nvdec(), reason="no GPU that decodes")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    rate = Fraction(25)
    frames = frames_of([Clip(panning(1, 320, 180), 25), Clip(panning(2, 320, 180), 25)], rate)
    write_film(path, frames, Recipe(rate=rate, codec="libx264"))
    return path


def decoded(film: Path, hardware: str) -> list[Picture]:
    settings = DecodeSection.model_validate({"hardware": hardware})
    with Decoder(open_source(str(film), SourceSection()), settings) as decoder:
        return [item for item in decoder if isinstance(item, Picture)]


def test_off_asks_nobody_and_cuda_insists() -> None:
    def present() -> bool:
        raise AssertionError

    assert accelerator("off", present) is None
    assert accelerator("auto", lambda: False) is None
    with pytest.raises(DeviceError, match=r"decode\.hardware = cuda"):
        accelerator("cuda", lambda: False)
    for wanted in ("auto", "cuda"):
        assert accelerator(wanted, lambda: True) is not None


@NO_GPU
def test_without_a_gpu_auto_decodes_on_the_cpu(film: Path) -> None:
    plain, auto = decoded(film, "off"), decoded(film, "auto")
    assert [each.start for each in plain] == [each.start for each in auto]
    for one, other in zip(plain, auto, strict=True):
        np.testing.assert_array_equal(one.frame.to_ndarray(), other.frame.to_ndarray())


@NO_GPU
def test_without_a_gpu_cuda_is_an_error_that_says_what_to_do(film: Path) -> None:
    with pytest.raises(DeviceError, match="use auto, or off"):
        decoded(film, "cuda")


@GPU
def test_pictures_of_a_gpu_are_those_of_the_cpu(film: Path) -> None:
    plain, gpu = decoded(film, "off"), decoded(film, "cuda")
    assert [each.start for each in plain] == [each.start for each in gpu]
    for one, other in zip(plain, gpu, strict=True):
        converted = other.frame.reformat(format="yuv420p")
        np.testing.assert_array_equal(one.frame.to_ndarray(), converted.to_ndarray())


@pytest.mark.parametrize(("width", "height"), [(320, 180), (322, 182), (64, 48), (1282, 722)])
def test_nv12_looks_the_same_to_shots_and_aspects(width: int, height: int) -> None:
    made = av.VideoFrame.from_ndarray(texture(5, width, height), "rgb24")
    planar = made.reformat(format="yuv420p")
    paired = planar.reformat(format="nv12")
    assert paired.format.name == "nv12"
    one, other = Signer().sign(planar), Signer().sign(paired)
    np.testing.assert_array_equal(one.luma, other.luma)
    np.testing.assert_array_equal(one.chroma, other.chroma)
    at = Instant(0, Fraction(1, 25))
    for size in ((224, 224), (432, 768)):
        first = Resizer(*size)(Picture(at, planar)).numpy().astype(int)
        second = Resizer(*size)(Picture(at, paired)).numpy().astype(int)
        assert np.abs(first - second).max() <= 1
