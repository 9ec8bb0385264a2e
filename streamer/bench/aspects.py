"""Measure aspects: streamed and plain, alone and together, by batch size, on a CPU or a GPU."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
import numpy as np
import torch

from streamer.aspects.bank import AspectBank
from streamer.extractor import ClipInput, PictureInput, SoundInput
from streamer.models.networks.base import TorchExtractor
from streamer.timeline import Picture, Shot, Sound, Timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streamer.extractor import Extractor

SHOT_SECONDS: Final = 4
_ROUNDS: Final = 3
_PLAIN_ROWS: Final = 64
_LEAST_SECONDS: Final = 0.3
_MS: Final = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class SlotCost:
    """Hold the cost of one aspect on one core.

    Attributes:
        aspect: Its slot.
        network: What fills it.
        rate: Tokens a second of film.
        streamed: CPU seconds a second of film, with resizing or resampling, piece by piece.
        plain: CPU seconds a second of film of the network alone, whole input in one call.
    """

    aspect: str
    network: str
    rate: float
    streamed: float
    plain: float


@dataclass(frozen=True, slots=True)
class FilmCost:
    """Hold the cost of several aspects together on one core.

    Attributes:
        seconds: Of film.
        cpu: CPU seconds of the aspects; decoding and splitting are not counted.
        tokens: How many there were.
    """

    seconds: float
    cpu: float
    tokens: int


def tokens_a_second(extractor: Extractor) -> float:
    """Return the tokens a second of film within one long shot."""
    spec = extractor.input
    if isinstance(spec, PictureInput):
        return float(1 / spec.interval)
    if isinstance(spec, ClipInput):
        return float(1 / ((spec.frames - 1) * spec.interval))
    return spec.rate / spec.hop


def measure_slot(extractor: Extractor, film: Path, seconds: int) -> SlotCost:
    """Measure one aspect, streamed and plain in turn, and return the median pair.

    Args:
        extractor: On the CPU.
        film: A media file.
        seconds: So much of it.
    """
    rate = tokens_a_second(extractor)
    pairs = []
    for _ in range(_ROUNDS):
        streamed = measure_film([extractor], film, seconds)
        pieces = make_pieces(extractor, _PLAIN_ROWS)
        with one_thread():
            began = time.thread_time()
            extractor.embed(pieces)
            plain = (time.thread_time() - began) / _PLAIN_ROWS
        pairs.append((streamed.cpu / streamed.seconds, plain * rate))
    pairs.sort()
    streamed_cpu, plain_cpu = pairs[len(pairs) // 2]
    return SlotCost(extractor.aspect, extractor.network, rate, streamed_cpu, plain_cpu)


def measure_film(
    extractors: Sequence[Extractor], film: Path, seconds: int, *, batch: int = 1
) -> FilmCost:
    """Measure the CPU time of a bank that is fed a film in shots of four seconds.

    Args:
        extractors: On the CPU.
        film: A media file.
        seconds: So much of it.
        batch: Pieces of one aspect embedded together.
    """
    bank = AspectBank(extractors, batch=batch, max_interleave=Fraction(3), has_sound=True)
    shots = [
        Shot(
            number,
            Timestamp(start * 1000, _MS),
            Timestamp((start + SHOT_SECONDS) * 1000, _MS),
            "cut",
        )
        for number, start in enumerate(range(0, seconds, SHOT_SECONDS))
    ]
    bank.begin(Fraction(0))
    spent, tokens, reached = 0.0, 0, Fraction(0)
    with one_thread():
        for item in _decoded(film, seconds):
            began = time.thread_time()
            if isinstance(item, Sound):
                bank.push_sound(item)
            else:
                bank.push_picture(item)
                reached = item.start.seconds
                closed = []
                while shots and reached >= shots[0].end.seconds:
                    closed.append(shots.pop(0))
                done = bank.advance(reached, closed)
                tokens += sum(len(each) for shot in done for each in shot.tokens.values())
            spent += time.thread_time() - began
        began = time.thread_time()
        bank.end_sound()
        done = bank.advance(reached, ())
        tokens += sum(len(each) for shot in done for each in shot.tokens.values())
        spent += time.thread_time() - began
    return FilmCost(float(reached), spent, tokens)


def measure_batches(extractor: Extractor, sizes: Sequence[int]) -> dict[int, float]:
    """Measure tokens a second by batch size; on a CPU for one core, by CPU time."""
    curve = {}
    for rows in sizes:
        pieces = make_pieces(extractor, rows)
        with one_thread():
            extractor.embed(pieces)
            clock = time.thread_time if _on_cpu(extractor) else time.perf_counter
            passes, began = 0, clock()
            while (spent := clock() - began) < _LEAST_SECONDS:
                extractor.embed(pieces)
                passes += 1
        curve[rows] = passes * rows / spent
    return curve


def measure_streams(extractors: Sequence[Extractor], streams: int) -> float:
    """Measure how many live streams the device embeds, each with a key frame a second.

    What that many streams give in a second is embedded with each network on a thread of its own,
    copies to the device included; decoding, resizing and resampling are not.

    Args:
        extractors: Of one device.
        streams: Whose pieces are embedded together.

    Returns:
        Streams that would keep the device busy all the time.
    """
    work = []
    for extractor in extractors:
        rate = 1.0 if isinstance(extractor.input, PictureInput) else tokens_a_second(extractor)
        work.append((extractor, make_pieces(extractor, max(1, round(rate * streams)))))
    with ThreadPoolExecutor(len(work)) as pool:
        times = []
        for _ in range(_ROUNDS + 1):
            began = time.perf_counter()
            list(pool.map(lambda pair: pair[0].embed(pair[1]), work))
            times.append(time.perf_counter() - began)
    return streams / min(times[1:])


def cosine(extractor: Extractor, rows: int = 16) -> float | None:
    """Return the least cosine of tokens in mixed precision and float32; None for float32 alone."""
    if not isinstance(extractor, TorchExtractor) or extractor.autocast is None:
        return None
    pieces = make_pieces(extractor, rows)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        full = replace(extractor, autocast=None).embed(pieces)
    return float(torch.cosine_similarity(full, extractor.embed(pieces), dim=1).min())


def make_pieces(extractor: Extractor, rows: int) -> torch.Tensor:
    """Return reproducible noise in the input shape of an extractor."""
    random = np.random.default_rng(rows)
    spec = extractor.input
    if isinstance(spec, SoundInput):
        sound = random.standard_normal((rows, spec.window), dtype=np.float32)
        return torch.from_numpy(sound * np.float32(0.1))
    shape = (
        (rows, 3, spec.height, spec.width)
        if isinstance(spec, PictureInput)
        else (rows, spec.frames, 1, spec.height, spec.width)
    )
    return torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8))


@contextmanager
def one_thread() -> Iterator[None]:
    """Make networks compute on the calling thread only, so that its CPU time is the total."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _on_cpu(extractor: Extractor) -> bool:
    return not isinstance(extractor, TorchExtractor) or extractor.device.type == "cpu"


def _decoded(film: Path, seconds: int) -> Iterator[Picture | Sound]:
    with av.open(str(film)) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for stream in streams:
            stream.codec_context.thread_type = "AUTO"
        for frame in container.decode(*streams):
            if not isinstance(frame, av.VideoFrame | av.AudioFrame):
                continue
            if frame.pts is None or frame.time_base is None:
                continue
            at = Timestamp(frame.pts, frame.time_base)
            if at.seconds >= seconds:
                break
            if at.seconds >= 0 and isinstance(frame, av.VideoFrame):
                yield Picture(at, frame)
            elif at.seconds >= 0 and isinstance(frame, av.AudioFrame):
                yield Sound(at, frame)
