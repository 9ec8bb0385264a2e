"""Pictures of every pixel format and size: none ends the process that looks at them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamer.aspects.video import Resizer
from streamer.connectors.sources.file import FileSource
from streamer.decode.decoder import Decoder
from streamer.decode.placing import unusable
from streamer.errors import SourceDamaged
from streamer.shots.signature import Signer
from streamer.shots.transnet import Thumbnailer
from streamer.timeline import Picture, Timestamp
from tests.decoding import SETTINGS, collect, film
from tests.media import Recipe, write_film

SIZES = ((1, 1), (2, 2), (64, 1), (1, 64), (33, 17))
HARDWARE = 5


def formats() -> list[str]:
    """Every pixel format that FFmpeg's tools know, those of GPUs aside."""
    listed = subprocess.run(["ffmpeg", "-v", "error", "-pix_fmts"], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [row[1] for row in rows if len(row) >= HARDWARE - 1 and row[0][3:4] in (".", "P", "B")]


def look(names: Iterable[str]) -> None:
    """Everything that is done with pictures, for blank ones."""
    signer, thumbnailer = Signer(), Thumbnailer()
    resizers = Resizer(24, 24), Resizer(24, 24, grey=True), Resizer(20, 20, keep_aspect=True)
    for name in names:
        for width, height in SIZES:
            try:
                frame = av.VideoFrame(width, height, name)
            except (av.FFmpegError, ValueError):
                continue
            print(name, width, height, flush=True)
            if unusable(frame) is not None:
                continue
            signer.sign(frame)
            thumbnailer.make(frame)
            for resizer in resizers:
                resizer(Picture(Timestamp(0, Fraction(1)), frame))


@pytest.mark.slow
def test_every_pixel_format() -> None:
    names = formats()
    assert len(names) > 150
    code = f"from tests.streamer.decode.test_pixels import look; look({names!r})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1], done.returncode, done.stderr)
    assert len(lines) > 150 * len(SIZES)


def test_what_cannot_be_looked_at_is_known() -> None:
    refused = {
        name
        for name in formats()
        for width, height in SIZES
        if _made(name, width, height) and unusable(av.VideoFrame(width, height, name))
    }
    assert {"bgr4", "rgb4", "bayer_rggb8"} <= refused
    assert not refused & {"yuv420p", "nv12", "yuv420p10le", "pal8", "gray", "gbrp", "yuyv422"}
    assert unusable(av.VideoFrame(64, 2, "bayer_rggb8")) is None


def _made(name: str, width: int, height: int) -> bool:
    try:
        av.VideoFrame(width, height, name)
    except (av.FFmpegError, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", ["bgr4", "rgb4"])
def test_a_film_in_such_a_format_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "film.nut"
    source = ["-f", "lavfi", "-i", "testsrc=size=32x32:rate=10:duration=1"]
    words = [*source, "-c:v", "rawvideo", "-pix_fmt", name, str(path)]
    subprocess.run(["ffmpeg", "-v", "error", *words], check=True, capture_output=True)
    with (
        Decoder(FileSource(path), SETTINGS) as decoder,
        pytest.raises(SourceDamaged, match="could be decoded"),
    ):
        collect(decoder)


def test_pictures_whose_size_and_format_change_on_the_way(tmp_path: Path) -> None:
    """Joined recordings: each part is looked at as if it were alone."""
    signer, resizer = Signer(), Resizer(24, 24)
    parts: list[Path] = []
    for number, (width, height, kind) in enumerate(
        [(192, 108, "yuvj420p"), (64, 64, "yuvj422p"), (322, 242, "yuvj420p")]
    ):
        parts.append(tmp_path / f"{number}.mjpeg")
        recipe = Recipe(codec="mjpeg", pixel_format=kind)
        write_film(parts[-1], film(25, width, height), recipe)

    def seen(path: Path) -> list[tuple[bytes, bytes]]:
        with Decoder(FileSource(path), SETTINGS) as decoder:
            return [
                (signer.sign(each.frame).luma.tobytes(), resizer(each).numpy().tobytes())
                for each in collect(decoder).pictures
            ]

    whole = tmp_path / "whole.mjpeg"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    joined = seen(whole)
    assert len(joined) == 75
    assert set(joined) <= {one for part in parts for one in seen(part)}
