"""Decoding on a GPU is a choice; its pictures are seen as those of the CPU."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.aspects.video import Resizer
from streamer.config.sections import SourceSection
from streamer.connectors.sources.registry import open_source
from streamer.connectors.sources.stdin import PipeSource
from streamer.decode import opening
from streamer.decode.decoder import Decoder
from streamer.decode.opening import MOST_KEPT, CountingReader, accelerator, has_nvdec
from streamer.decode.streams import DecodeOptions
from streamer.errors import DeviceError, NotMedia
from streamer.shots.signature import Signer
from streamer.timeline import Picture, Timestamp
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


def decoded(film: Path, wanted: str) -> list[Picture]:
    settings = DecodeOptions(hardware=wanted)  # type: ignore[arg-type] # a literal
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


@pytest.mark.gpu
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
    at = Timestamp(0, Fraction(1, 25))
    for size in ((224, 224), (432, 768)):
        first = Resizer(*size)(Picture(at, planar)).numpy().astype(int)
        second = Resizer(*size)(Picture(at, paired)).numpy().astype(int)
        assert np.abs(first - second).max() <= 1


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that was there when it was looked for and fails when it is needed."""
    monkeypatch.setattr(opening, "has_nvdec", lambda: True)


@NO_GPU
@pytest.mark.usefixtures("failing")
def test_where_the_gpu_fails_auto_decodes_on_the_cpu_and_says_so(film: Path) -> None:
    settings = DecodeOptions(hardware="auto")
    with Decoder(open_source(str(film), SourceSection()), settings) as decoder:
        assert decoder.warnings == (
            "the GPU fails to decode video (decode.hardware); decoding on the CPU",
        )
        shown = [item for item in decoder if isinstance(item, Picture)]
    assert [each.start for each in shown] == [each.start for each in decoded(film, "off")]


@NO_GPU
@pytest.mark.usefixtures("failing")
def test_where_the_gpu_fails_cuda_says_what_to_do(film: Path) -> None:
    with pytest.raises(DeviceError, match=r"decode\.hardware.*use auto, or off"):
        decoded(film, "cuda")


@NO_GPU
@pytest.mark.usefixtures("failing")
def test_where_the_gpu_fails_nothing_of_a_pipe_is_lost(film: Path, tmp_path: Path) -> None:
    stream = tmp_path / "film.ts"
    frames = frames_of([Clip(panning(1, 320, 180), 50)], Fraction(25))
    write_film(stream, frames, Recipe(codec="libx264"))
    with stream.open("rb") as file:
        settings = DecodeOptions(hardware="auto")
        with Decoder(PipeSource(file.fileno()), settings) as decoder:
            shown = [item for item in decoder if isinstance(item, Picture)]
            assert len(decoder.warnings) == 1
    assert [each.start for each in shown] == [each.start for each in decoded(stream, "off")]


@NO_GPU
@pytest.mark.usefixtures("failing")
def test_a_gpu_that_fails_does_not_excuse_the_input(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"This is no film.\n" * 50)
    with pytest.raises(NotMedia):
        decoded(path, "auto")


@pytest.mark.usefixtures("failing")
def test_several_picture_streams_are_decoded_on_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(texture(number, 64, 48), "rgb24")
            for stream in streams:
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame.reformat(format="yuv420p")))
        for stream in streams:
            output.mux(stream.encode(None))
    settings = DecodeOptions(hardware="auto")
    with Decoder(open_source(str(path), SourceSection()), settings) as decoder:
        assert decoder.warnings == ("has 2 video streams; decoding on the CPU",)
        assert sum(isinstance(item, Picture) for item in decoder) == 5


def test_a_reader_gives_what_it_kept_again() -> None:
    reader = CountingReader(Bytes(b"abcdefgh"))
    assert not reader.rewind()
    reader.keep()
    assert reader.read(3) == b"abc"
    assert reader.rewind()
    assert [reader.read(2) for _ in range(6)] == [b"ab", b"c", b"de", b"fg", b"h", b""]
    assert reader.count == 8
    assert not reader.rewind()
    many = CountingReader(Bytes(bytes(MOST_KEPT + 1)))
    many.keep()
    assert len(many.read(-1)) == MOST_KEPT + 1
    assert not many.rewind()


class Bytes(io.BytesIO):
    """Bytes that can only be read forwards."""

    def seekable(self) -> bool:
        return False
