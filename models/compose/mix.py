"""Mixes a film's sounds, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamer.models.compose.clips import LOUDNESS, Clips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from streamer.models.compose.plan import FilmPlan, SoundEvent

SEARCH_SECONDS = 0.4
SEAM_SECONDS = 0.05


class Mixer:
    """The sound of a film as a sequence of blocks.

    Only what sounds during a block is held in memory.

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
        """Yields blocks as long as ``frames`` pictures; the last one may be shorter.

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
        """The quietest moment near an offset, so that lines rarely begin within a word."""
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
    """Repeats a clip from an offset on, with cross-fades where it starts again.

    Args:
        clip: Mono samples.
        offset: First sample wanted, inside the clip.
        length: Samples wanted.
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
    """Adds a diffuse tail: noise that decays by 60 dB in ``room`` seconds.

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
