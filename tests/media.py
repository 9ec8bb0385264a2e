"""Films made on the spot, with cut times that are known exactly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from av.stream import Stream
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Painter = Callable[[float], Pixels]


def texture(seed: int, width: int, height: int, *, contrast: float = 48.0) -> Pixels:
    """A picture with structure at many scales and a colour cast, like no other seed's.

    Returns:
        Uint8 ``(height, width, 3)``.
    """
    rng = np.random.default_rng(seed)
    rows = np.linspace(0.0, 1.0, height)[:, None]
    columns = np.linspace(0.0, 1.0, width)[None, :]
    picture = np.zeros((height, width, 3))
    for frequency in (1.3, 2.7, 5.1, 9.0, 21.0, 47.0):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        wave = np.sin(
            2 * np.pi * frequency * (rows * np.sin(angle) + columns * np.cos(angle)) + phase
        )
        picture += wave[:, :, None] * rng.uniform(-1.0, 1.0, 3) / frequency**0.4
    for _ in range(8):
        top, left = rng.integers(0, height), rng.integers(0, width)
        tall = int(rng.integers(max(1, height // 8), max(2, height // 2)))
        wide = int(rng.integers(max(1, width // 8), max(2, width // 2)))
        picture[top : top + tall, left : left + wide] += rng.uniform(-1.5, 1.5, 3)
    scaled = picture * contrast + rng.uniform(90, 165) + rng.uniform(-25, 25, 3)
    return scaled.clip(0, 255).astype(np.uint8)


def still(picture: Pixels) -> Painter:
    """A shot that shows one picture."""
    return lambda _: picture


def panning(seed: int, width: int, height: int, *, speed: float = 0.1) -> Painter:
    """A shot whose camera moves over a larger picture by ``speed`` widths a second."""
    wide = texture(seed, width * 2, height)

    def paint(second: float) -> Pixels:
        left = round(width * (0.5 + 0.45 * np.sin(2.0 * speed * second)))
        return wide[:, left : left + width]

    return paint


@dataclass(frozen=True)
class Clip:
    """One shot of a film.

    Attributes:
        paint: Second within the shot → picture.
        frames: How many pictures long, transition included.
        dissolve: Over how many of its first pictures it is blended with the shot before.
        through: Colour of a fade through which the blend goes, None for a plain dissolve.
    """

    paint: Painter
    frames: int
    dissolve: int = 0
    through: int | None = None


def frames_of(clips: Sequence[Clip], rate: Fraction) -> Iterator[Pixels]:
    """Every picture of a film in order."""
    for number, clip in enumerate(clips):
        for index in range(clip.frames):
            picture = clip.paint(float(index / rate))
            if index < clip.dissolve and number:
                before = clips[number - 1]
                old = before.paint(float((before.frames + index) / rate))
                share = (index + 1) / (clip.dissolve + 1)
                picture = _blend(old, picture, share, clip.through)
            yield picture


def _blend(old: Pixels, new: Pixels, share: float, through: int | None) -> Pixels:
    first, second = old.astype(np.float32), new.astype(np.float32)
    if through is None:
        mixed = first * (1 - share) + second * share
    elif share < 0.5:
        mixed = first * (1 - 2 * share) + through * 2 * share
    else:
        mixed = through * (2 - 2 * share) + second * (2 * share - 1)
    return mixed.round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Tone:
    """A sound track: a steady tone, distinct in each second.

    Attributes:
        seconds: How long.
        start: When it begins.
        rate: Samples a second.
        codec: Name of the encoder.
        layout: Channels.
        level: Peak, 0 to 1.
    """

    seconds: float
    start: float = 0.0
    rate: int = 48000
    codec: str = "aac"
    layout: str = "mono"
    level: float = 0.3


@dataclass(frozen=True)
class Recipe:
    """How a film is encoded.

    Attributes:
        rate: Pictures a second, also for the encoder when ``times`` gives each picture's time.
        codec: Name of the encoder; None for a film without pictures.
        pixel_format: What the encoder is fed.
        time_base: Ticks of the picture stream; 1 / rate when None.
        start: Ticks by which all pictures are later.
        times: Ticks of each picture (variable frame rate), from 0.
        options: Of the encoder.
        container_options: Of the container.
        sound: Sound track.
    """

    rate: Fraction = Fraction(25)
    codec: str | None = "mpeg4"
    pixel_format: str = "yuv420p"
    time_base: Fraction | None = None
    start: int = 0
    times: Sequence[int] | None = None
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    sound: Tone | None = None


def write_film(
    target: Path | IO[bytes],
    pictures: Iterable[Pixels],
    recipe: Recipe | None = None,
    *,
    container: str | None = None,
) -> None:
    """Encodes pictures, and a tone if asked for, into a media file.

    Args:
        target: File, or anything that can be written to.
        pictures: RGB, all of one size.
        recipe: How; MPEG-4 at 25 pictures a second by default.
        container: Name of the muxer when the file's name does not tell.
    """
    recipe = recipe or Recipe()
    with av.open(
        target if not isinstance(target, Path) else str(target),
        "w",
        format=container,
        container_options=recipe.container_options,
    ) as output:
        codec = recipe.codec
        shown = _picture_packets(output, pictures, codec, recipe) if codec else iter(())
        heard = _sound_packets(output, recipe.sound) if recipe.sound else iter(())
        _interleave(output, shown, heard)


def _interleave(
    output: av.container.OutputContainer,
    shown: Iterator[tuple[float, av.Packet[Stream]]],
    heard: Iterator[tuple[float, av.Packet[Stream]]],
) -> None:
    picture, sound = next(shown, None), next(heard, None)
    while picture is not None or sound is not None:
        if sound is None or (picture is not None and picture[0] <= sound[0]):
            assert picture is not None
            output.mux(picture[1])
            picture = next(shown, None)
        else:
            output.mux(sound[1])
            sound = next(heard, None)


def _picture_packets(
    output: av.container.OutputContainer, pictures: Iterable[Pixels], codec: str, recipe: Recipe
) -> Iterator[tuple[float, av.Packet[Stream]]]:
    source = iter(pictures)
    first = next(source)
    stream = output.add_stream(codec, rate=recipe.rate, options=dict(recipe.options))
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height = first.shape[1], first.shape[0]
    stream.pix_fmt = recipe.pixel_format
    stream.thread_count = 1
    time_base = recipe.time_base or 1 / recipe.rate
    stream.codec_context.time_base = time_base
    step = 1 / recipe.rate / time_base

    def packets() -> Iterator[tuple[float, av.Packet[Stream]]]:
        for number, picture in enumerate(itertools.chain([first], source)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format=recipe.pixel_format)
            ticks = recipe.times[number] if recipe.times is not None else round(number * step)
            frame.pts, frame.time_base = recipe.start + ticks, time_base
            for packet in stream.encode(frame):
                yield _at(packet), packet
        for packet in stream.encode(None):
            yield _at(packet), packet

    return packets()


def _sound_packets(
    output: av.container.OutputContainer, tone: Tone
) -> Iterator[tuple[float, av.Packet[Stream]]]:
    stream = output.add_stream(tone.codec, rate=tone.rate, layout=tone.layout)
    assert isinstance(stream, av.AudioStream)

    def packets() -> Iterator[tuple[float, av.Packet[Stream]]]:
        total, block = round(tone.seconds * tone.rate), tone.rate // 10
        for first in range(0, total, block):
            second = np.arange(first, min(total, first + block)) / tone.rate
            wave = tone.level * np.sin(2 * np.pi * (220 + 55 * np.floor(second)) * second)
            samples = (wave * 32767).astype(np.int16)
            channels = av.AudioLayout(tone.layout).nb_channels
            interleaved = np.ascontiguousarray(np.repeat(samples, channels)[None, :])
            frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=tone.layout)
            frame.sample_rate = tone.rate
            frame.pts = round(tone.start * tone.rate) + first
            frame.time_base = Fraction(1, tone.rate)
            for packet in stream.encode(frame):
                yield _at(packet), packet
        for packet in stream.encode(None):
            yield _at(packet), packet

    return packets()


def _at(packet: av.Packet[Stream]) -> float:
    ticks = packet.dts if packet.dts is not None else packet.pts or 0
    return float(ticks * packet.time_base)
