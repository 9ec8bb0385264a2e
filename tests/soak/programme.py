"""Short programmes whose cuts are known, encoded once and sent again and again."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import av
import numpy as np

from tests.media import texture

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

RATE = 10
TICKS = 90_000
SECONDS = 60


@dataclass(frozen=True)
class Unit:
    """One encoded packet.

    Attributes:
        kind: ``video`` or ``audio``.
        data: Its bytes.
        at: Ticks from the start of the programme.
        key: A decoder can begin here.
    """

    kind: str
    data: bytes
    at: int
    key: bool


@dataclass(frozen=True)
class Programme:
    """Pictures and sound of one minute.

    Attributes:
        units: In the order of their times.
        cuts: Ticks at which shots begin, the first one aside.
    """

    units: tuple[Unit, ...]
    cuts: tuple[int, ...]


def make(seed: int, width: int, height: int, sample_rate: int) -> Programme:
    """Encodes a programme.

    Args:
        seed: Decides shots and pictures.
        width: Pixels.
        height: Pixels.
        sample_rate: Hz.
    """
    random = np.random.default_rng(seed)
    lengths: list[int] = []
    while sum(lengths) < SECONDS * RATE:
        lengths.append(int(random.integers(15, 80)))
    lengths[-1] -= sum(lengths) - SECONDS * RATE
    if lengths[-1] < 15:
        lengths[-2] += lengths.pop()
    starts = [int(start) for start in np.cumsum([0, *lengths[:-1]])]
    sink = BytesIO()
    with av.open(sink, "w", format="matroska") as container:
        picture = container.add_stream("libx264", rate=RATE)
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        picture.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE)}
        sound = container.add_stream("mp2", rate=sample_rate, layout="mono")
        sound.bit_rate = 64_000
        for index, start in enumerate(starts):
            still = texture(seed * 1000 + index, width, height)
            for number in range(start, start + lengths[index]):
                moved = np.roll(still, number % 3, axis=1)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), format="rgb24")
                frame.pts = number
                for packet in picture.encode(frame):
                    container.mux(packet)
        for packet in picture.encode():
            container.mux(packet)
        for block in range(SECONDS * sample_rate // 1152):
            at = np.arange(block * 1152, (block + 1) * 1152)
            tone = 0.3 * np.sin(2 * np.pi * (220 + 40 * (seed % 7)) * at / sample_rate)
            samples = (tone * 32767).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate, heard.pts = sample_rate, block * 1152
            for packet in sound.encode(heard):
                container.mux(packet)
        for packet in sound.encode():
            container.mux(packet)
    sink.seek(0)
    with av.open(sink, "r") as container:
        extra = {s.type: bytes(s.codec_context.extradata or b"") for s in container.streams}
        units = [
            unit(packet, extra[packet.stream.type]) for packet in container.demux() if packet.size
        ]
    units.sort(key=lambda each: (each.at, each.kind == "audio"))
    ticks = TICKS // RATE
    return Programme(tuple(units), tuple(start * ticks for start in starts[1:]))


def unit(packet: Packet[Stream], extra: bytes) -> Unit:
    """A packet as a broadcast carries it: H.264 with start codes and headers at key pictures."""
    assert packet.pts is not None
    assert packet.time_base is not None
    data = bytes(packet)
    if packet.stream.type == "video":
        data = _annex_b(data)
        if packet.is_keyframe:
            data = _headers(extra) + data
    at = round(packet.pts * packet.time_base * TICKS)
    return Unit(packet.stream.type, data, at, packet.is_keyframe)


def _annex_b(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        out.append(b"\0\0\0\1" + data[at + 4 : at + 4 + size])
        at += 4 + size
    return b"".join(out)


def _headers(extra: bytes) -> bytes:
    """Sequence and picture parameter sets out of an ``avcC`` box."""
    out, at = [], 5
    for mask in (0x1F, 0xFF):
        count, at = extra[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(extra[at : at + 2], "big")
            out.append(b"\0\0\0\1" + extra[at + 2 : at + 2 + size])
            at += 2 + size
    return b"".join(out)


def library() -> list[Programme]:
    """Programmes of three picture sizes and sample rates."""
    shapes = ((96, 64, 48_000), (128, 96, 44_100), (160, 64, 32_000))
    return [make(number, *shapes[number % len(shapes)]) for number in range(6)]


def exact(ticks: int) -> Fraction:
    """Seconds."""
    return Fraction(ticks, TICKS)
