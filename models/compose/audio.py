"""Decode sound files and mix the sound of a film, block by block."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from streamer.errors import ComposeError
from streamer.lines import reason
from streamer.models.compose.plan import FilmPlan, SoundEvent

LOUDNESS = 0.1
CACHE_BYTES = 256 * 2**20
LONGEST_SECONDS = 300


def decode(path: Path, rate: int) -> NDArray[np.float32]:
    """Read the first minutes of a sound file.

    Args:
        path: Sound file of any format that FFmpeg reads.
        rate: Samples a second of the result.

    Returns:
        Mono samples, at most ``LONGEST_SECONDS``; never empty.

    Raises:
        ComposeError: It holds no decodable sound.
    """
    blocks: list[NDArray[np.float32]] = []
    total = 0
    try:
        with av.open(path, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise ComposeError(f"{path}: holds no sound")
            resampler = av.AudioResampler("flt", "mono", rate)
            for frame in container.decode(container.streams.audio[0]):
                for part in resampler.resample(frame):
                    blocks.append(part.to_ndarray().reshape(-1).astype(np.float32))
                    total += blocks[-1].size
                if total >= LONGEST_SECONDS * rate:
                    break
            blocks += [
                p.to_ndarray().reshape(-1).astype(np.float32) for p in resampler.resample(None)
            ]
    except (av.FFmpegError, OSError) as error:
        raise ComposeError(f"{path}: not readable sound: {reason(error)}") from error
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if samples.size < rate // 20:
        raise ComposeError(f"{path}: holds less than 50 ms of sound")
    return np.nan_to_num(samples[: LONGEST_SECONDS * rate]).astype(np.float32)


def level(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Scale sound so that its audible parts have an RMS of 0.1 (-20 dB of full scale)."""
    size = max(rate // 20, 1)
    usable = samples[: samples.size // size * size].reshape(-1, size)
    power = (usable.astype(np.float64) ** 2).mean(axis=1)
    audible = power[power > 1e-3 * power.max()] if power.size and power.max() > 1e-10 else power
    mean = float(np.sqrt(audible.mean())) if audible.size else 0.0
    return samples if mean < 1e-5 else (samples * np.float32(LOUDNESS / mean))


def low_pass(samples: NDArray[np.float32], rate: int, cutoff: float) -> NDArray[np.float32]:
    """Remove frequencies above ``cutoff`` Hz, with a soft edge of an eighth of it."""
    if cutoff >= 0.4 * rate:
        return samples
    # A power of two: transforms of other lengths take up to ten times as long.
    padded = 1 << (samples.size - 1).bit_length()
    spectrum = np.fft.rfft(samples, padded)
    frequency = np.linspace(0.0, rate / 2, spectrum.size)
    edge = np.clip((frequency - cutoff) / (cutoff / 8), 0.0, 1.0)
    spectrum *= 0.5 + 0.5 * np.cos(np.pi * edge)
    return np.fft.irfft(spectrum, padded)[: samples.size].astype(np.float32)


class Clips:
    """Cache of decoded sound files, bounded in memory.

    Args:
        rate: Samples a second.
        cutoff: Highest frequency kept, in Hz.
    """

    def __init__(self, rate: int, cutoff: float) -> None:
        self._rate = rate
        self._cutoff = cutoff
        self._held: OrderedDict[Path, NDArray[np.float32]] = OrderedDict()
        self._bytes = 0

    def get(self, path: Path) -> NDArray[np.float32]:
        """Return the levelled, band-limited sound of a file.

        Raises:
            ComposeError: It cannot be decoded.
        """
        if path in self._held:
            self._held.move_to_end(path)
            return self._held[path]
        clip = level(low_pass(decode(path, self._rate), self._rate, self._cutoff), self._rate)
        self._held[path] = clip
        self._bytes += clip.nbytes
        while self._bytes > CACHE_BYTES and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= dropped.nbytes
        return clip


SEARCH_SECONDS = 0.4
SEAM_SECONDS = 0.05


class SoundMixer:
    """Mixes the sound of a film block by block.

    Only the sounds heard during a block are held in memory.

    Args:
        film: The plan.
    """

    def __init__(self, film: FilmPlan) -> None:
        style = film.style
        self._film = film
        self._rate = style.sample_rate
        self._channels = 2 if style.stereo else 1
        self._clips = Clips(style.sample_rate, style.cutoff)
        self._gain = 10 ** (style.gain / 20)
        self._waiting = list(reversed(film.sounds))
        self._sounding: list[tuple[int, NDArray[np.float32]]] = []

    def blocks(self, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks as long as ``frames`` pictures; the last one may be shorter.

        Shape:
            ``(channels, samples)``
        """
        film = self._film
        for first in range(0, film.frames, frames):
            start = int(film.seconds(first) * self._rate)
            end = int(film.seconds(min(first + frames, film.frames)) * self._rate)
            yield self._block(start, end)

    def _block(self, start: int, end: int) -> NDArray[np.float32]:
        while self._waiting and round(self._waiting[-1].start * self._rate) < end:
            event = self._waiting.pop()
            self._sounding.append((round(event.start * self._rate), self._render(event)))
        block = np.zeros((self._channels, end - start), np.float32)
        for first, sound in self._sounding:
            low, high = max(first, start), min(first + sound.shape[1], end)
            if low < high:
                block[:, low - start : high - start] += sound[:, low - first : high - first]
        self._sounding = [(f, s) for f, s in self._sounding if f + s.shape[1] > end]
        block *= np.float32(self._gain)
        # Soft limiter: linear up to one half, never beyond one.
        loud = np.abs(block)
        return np.where(
            loud <= 0.5, block, np.sign(block) * (0.5 + 0.5 * np.tanh((loud - 0.5) * 2.0))
        ).astype(np.float32)

    def _render(self, event: SoundEvent) -> NDArray[np.float32]:
        clip = self._clips.get(event.path)
        length = max(1, round(event.seconds * self._rate))
        if event.layer == "effects":
            length = min(length, clip.size)
        taken = self._take(clip, event, length)
        taken *= np.float32(10 ** (event.level / 20) / LOUDNESS)
        self._fade(taken, event)
        if event.room > 0:
            taken = reverberate(taken, event.room, self._rate)
        if self._channels == 1:
            return taken[None]
        angle = (event.pan + 1.0) * np.pi / 4
        sides = np.asarray([np.cos(angle), np.sin(angle)], np.float32) * np.float32(np.sqrt(2.0))
        panned: NDArray[np.float32] = sides[:, None] * taken[None]
        return panned

    def _take(
        self, clip: NDArray[np.float32], event: SoundEvent, length: int
    ) -> NDArray[np.float32]:
        needed = int(np.ceil(length * event.speed)) + 2
        offset = round(event.offset * self._rate) % clip.size
        if event.layer == "speech":
            offset = self._pause_near(clip, offset)
        looped = loop(clip, offset, needed, round(SEAM_SECONDS * self._rate))
        if event.speed == 1.0:
            return looped[:length].copy()
        at = np.arange(length) * event.speed
        stretched: NDArray[np.float32] = np.interp(at, np.arange(looped.size), looped).astype(
            np.float32
        )
        return stretched

    def _pause_near(self, clip: NDArray[np.float32], offset: int) -> int:
        """Find the quietest moment near an offset, so that lines rarely begin within a word."""
        reach, size = round(SEARCH_SECONDS * self._rate), self._rate // 50
        low = max(0, offset - reach)
        piece = clip[low : offset + reach]
        count = piece.size // size
        if count < 2:
            return offset
        power = (piece[: count * size].reshape(count, size) ** 2).sum(axis=1)
        return low + int(power.argmin()) * size

    def _fade(self, samples: NDArray[np.float32], event: SoundEvent) -> None:
        for seconds, reverse in ((event.fade_in, False), (event.fade_out, True)):
            size = min(round(seconds * self._rate), samples.size // 2)
            if size:
                ramp = np.sin(np.linspace(0.0, np.pi / 2, size, dtype=np.float32))
                part = samples[-size:] if reverse else samples[:size]
                part *= ramp[::-1] if reverse else ramp


def loop(clip: NDArray[np.float32], offset: int, length: int, seam: int) -> NDArray[np.float32]:
    """Loop a clip from an offset on, with cross-fades where it restarts.

    Args:
        clip: Mono samples.
        offset: First sample, inside the clip.
        length: Samples of the result.
        seam: Samples of the cross-fade, shortened for short clips.
    """
    seam = min(seam, clip.size // 4)
    body = clip.copy()
    if seam:
        ramp = np.linspace(0.0, 1.0, seam, dtype=np.float32)
        body[:seam] = clip[:seam] * ramp + clip[-seam:] * (1.0 - ramp)
        body = body[: clip.size - seam]
    first = clip[offset : offset + length]
    if offset + length <= clip.size:
        return first
    ahead = clip[offset : clip.size - seam]
    if offset > clip.size - seam:
        ahead = body[offset - (clip.size - seam) :]
    turns = -(-(length - ahead.size) // body.size)
    return np.concatenate([ahead, *[body] * turns])[:length]


def reverberate(samples: NDArray[np.float32], room: float, rate: int) -> NDArray[np.float32]:
    """Add a diffuse tail: noise that decays by 60 dB in ``room`` seconds.

    Args:
        samples: Mono, dry.
        room: Reverberation time in seconds.
        rate: Samples a second.

    Returns:
        Mono, longer by the tail.
    """
    size = round(room * rate)
    noise = np.random.default_rng(round(1000 * room)).standard_normal(size)
    tail = noise * 10 ** (-3.0 * np.arange(size) / max(size, 1))
    tail *= 0.35 / np.sqrt((tail**2).sum())
    total = samples.size + size
    padded = 1 << (total - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, padded) * np.fft.rfft(tail, padded), padded)[:total]
    wet[: samples.size] += samples
    return wet.astype(np.float32)
