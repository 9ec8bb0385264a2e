"""Sound of every layout and sample format: read right, and by a process that lives on."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.aspects.track import clean
from streamer.samples import named, packed, samples_of
from streamer.timeline import Sound, Timestamp
from tests.streamer import sound_reader

LEVEL = 0.5
LOUD = LEVEL / 2**0.5

NAMED = (
    *("mono", "stereo", "2.1", "3.0", "3.0(back)", "4.0", "quad", "quad(side)", "3.1", "5.0"),
    *("5.0(side)", "4.1", "5.1", "5.1(side)", "6.0", "6.0(front)", "hexagonal", "6.1", "6.1(back)"),
    *("6.1(front)", "7.0", "7.0(front)", "7.1", "7.1(wide)", "7.1(wide-side)", "octagonal"),
    *("hexadecagonal", "22.2", "downmix"),
)
COUNTED = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 24, 63, 64)

# Encoder, file, layouts that it takes.
LOSSY: dict[str, tuple[str, tuple[str, ...]]] = {
    "aac": (
        "mp4",
        (
            *("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1(wide)", "7.1", "6.1(back)", "6.0"),
            *("7.0", "octagonal", "hexadecagonal", "6.1(front)", "quad", "2.1", "4.1"),
        ),
    ),
    "libopus": ("mka", ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")),
    "libvorbis": ("ogg", ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")),
    "flac": ("flac", ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")),
    "alac": ("mov", ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1(back)", "7.1(wide)")),
    # The encoder writes what no decoder takes beyond eight channels.
    "wavpack": ("mka", tuple(one for one in NAMED if one not in ("hexadecagonal", "22.2"))),
    "ac3": ("mka", ("mono", "stereo", "3.0", "5.1")),
    "mp2": ("mka", ("mono", "stereo")),
}
PCM = (
    *("pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_s64le", "pcm_f32le", "pcm_f64le"),
    *("pcm_s8_planar", "pcm_s16le_planar", "pcm_s32le_planar"),
)
OWN_ORDER = {"right first": (2, 1, 3), "one twice": (1, 1, 1), "unknown": (400, 401, 402)}


def write(folder: Path, suffix: str, codec: str, layouts: Sequence[str]) -> list[Path]:
    """A file for each layout, or number of channels: one second of the same tone in all of them."""
    inputs: list[str] = []
    outputs: list[str] = []
    paths = [folder / f"{layout}.{suffix}" for layout in layouts]
    for number, (layout, path) in enumerate(zip(layouts, paths, strict=True)):
        count = int(layout) if layout.isdecimal() else av.AudioLayout(layout).nb_channels
        tones = "|".join([f"{LEVEL}*sin(2*PI*440*t)"] * count)
        source = f"aevalsrc={tones}:d=1.2:s=48000"
        source += "" if layout.isdecimal() else f":c={layout}"
        inputs += ["-f", "lavfi", "-i", source]
        outputs += ["-map", f"{number}:a", "-c:a", codec, "-strict", "-2", str(path)]
    command = ["ffmpeg", "-v", "error", "-y", *inputs, *outputs]
    subprocess.run(command, check=True, capture_output=True)
    return paths


def heard(*paths: Path) -> dict[str, Any]:
    """What a process of its own hears of each file; fails with the file that ended it."""
    command = [sys.executable, sound_reader.__file__, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{paths[len(found)].name}: {done.returncode} {done.stderr}"
    return {each["file"]: each for each in found}


@pytest.mark.slow
@pytest.mark.parametrize("codec", LOSSY)
def test_every_layout_of_a_codec(tmp_path: Path, codec: str) -> None:
    suffix, layouts = LOSSY[codec]
    found = heard(*write(tmp_path, suffix, codec, layouts))
    assert len(found) == len(layouts)
    for name, each in found.items():
        for one in each["heard"]:
            assert one["seconds"] > 0.9, name
            # A downmix weighs places differently, but never makes silence of a tone.
            assert 0.5 * LOUD < one["loud"] < 1.5 * LOUD, (name, each)


@pytest.mark.slow
@pytest.mark.parametrize("codec", PCM)
def test_every_number_of_channels_packed_and_planar(tmp_path: Path, codec: str) -> None:
    paths = write(tmp_path, "nut", codec, [str(count) for count in COUNTED])
    for name, each in heard(*paths).items():
        assert len(each["kinds"]) == 1, each
        for one in each["heard"]:
            assert one["seconds"] > 0.9, name
            # All channels are the same, so that their mean is as loud as each.
            assert one["loud"] == pytest.approx(LOUD, rel=0.02), (name, each)


def test_more_channels_than_a_resampler_takes(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(57600) / 48000) * LEVEL * 32767
    for channels in (65, 128, 512):
        with wave.open(str(tmp_path / f"{channels}.wav"), "wb") as file:
            file.setparams((channels, 2, 48000, 0, "NONE", ""))
            file.writeframes(np.repeat(tone.astype(np.int16), channels).tobytes())
    for each in heard(*tmp_path.glob("*.wav")).values():
        assert [one["loud"] for one in each["heard"]] == pytest.approx([LOUD] * 2, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("order", OWN_ORDER)
@pytest.mark.parametrize("codec", ["pcm_s16le", "alac"])
def test_places_listed_one_by_one(tmp_path: Path, order: str, codec: str) -> None:
    """PyAV frees such a list as often as it looks at it."""
    layout = "2.1" if codec == "pcm_s16le" else "3.0"
    (path,) = write(tmp_path, "mov", codec, [layout])
    path.write_bytes(listed(path.read_bytes(), OWN_ORDER[order]))
    found = heard(path)[path.name]
    assert [one["loud"] for one in found["heard"]] == pytest.approx([LOUD] * 2, rel=0.02)
    assert found["heard"][0]["seconds"] > 0.9


def listed(film: bytes, labels: tuple[int, ...]) -> bytes:
    """The film with a list of places in its ``chan`` box, which makes the boxes around it grow."""
    at = film.index(b"chan") - 4
    (size,) = struct.unpack_from(">I", film, at)
    places = b"".join(struct.pack(">II12x", label, 0) for label in labels)
    body = struct.pack(">IIII", 0, 0, 0, len(labels)) + places
    box = struct.pack(">I4s", len(body) + 8, b"chan") + body
    out = bytearray(film)
    out[at : at + size] = box
    start, end = 0, len(film)
    inner = {b"stsd": 16, b"sowt": 52, b"alac": 52}
    while start < at:
        length, kind = struct.unpack_from(">I4s", film, start)
        if start + length > at:
            struct.pack_into(">I", out, start, length + len(box) - size)
            start, end = start + inner.get(kind, 8), start + length
        else:
            start += length
        assert start < end
    return bytes(out)


@pytest.mark.parametrize("kind", ["u8", "s16", "s32", "flt", "dbl", "u8p", "s16p", "fltp", "dblp"])
@pytest.mark.parametrize("channels", [1, 2, 6, 7])
def test_samples_are_those_of_the_frame(kind: str, channels: int) -> None:
    layout = {1: "mono", 2: "stereo", 6: "5.1", 7: "6.1"}[channels]
    types = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32}
    numbers = np.arange(channels * 50).reshape(50, channels) % 251
    wanted: NDArray[Any] = numbers.astype(types.get(kind.removesuffix("p"), np.float64))
    shaped = wanted.T if kind.endswith("p") else wanted.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(shaped), kind, layout)
    assert np.array_equal(samples_of(frame), wanted)
    again = packed(wanted, layout, 8000)
    assert np.array_equal(again.to_ndarray().reshape(50, channels), wanted)
    assert (again.format.name, again.sample_rate) == (kind.removesuffix("p"), 8000)


def test_an_empty_block() -> None:
    frame = av.AudioFrame("fltp", "7.1", 0)
    frame.sample_rate = 8000
    assert samples_of(frame).shape == (0, 8)
    assert clean(Sound(Timestamp(0, Fraction(1)), frame)).frame.samples == 0


@pytest.mark.parametrize("layout", NAMED)
def test_layouts_that_have_a_name(layout: str) -> None:
    assert named(av.AudioLayout(layout).name)


def test_layouts_that_have_none() -> None:
    for layout in ("8 channels", "3 channels (FR+FL+FC)", "ambisonic 1", "ambisonic 1+stereo"):
        assert not named(layout)
