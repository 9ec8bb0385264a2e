"""Decoded sound files: mono, one sample rate, one loudness, a bounded number in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import av
import numpy as np

from streamer.errors import ComposeError
from streamer.lines import reason

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LOUDNESS = 0.1
CACHE_BYTES = 256 * 2**20
LONGEST_SECONDS = 300


def decode(path: Path, rate: int) -> NDArray[np.float32]:
    """Reads the first minutes of a sound file.

    Args:
        path: Any sound that FFmpeg reads.
        rate: Samples a second wanted.

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
    """Scales sound so that its audible parts have an RMS of 0.1 (-20 dB of full scale)."""
    size = max(rate // 20, 1)
    usable = samples[: samples.size // size * size].reshape(-1, size)
    power = (usable.astype(np.float64) ** 2).mean(axis=1)
    audible = power[power > 1e-3 * power.max()] if power.size and power.max() > 1e-10 else power
    mean = float(np.sqrt(audible.mean())) if audible.size else 0.0
    return samples if mean < 1e-5 else (samples * np.float32(LOUDNESS / mean))


def low_pass(samples: NDArray[np.float32], rate: int, cutoff: float) -> NDArray[np.float32]:
    """Removes what lies above ``cutoff`` Hz with a soft edge of an eighth of it."""
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
    """Sound files by path, decoded once while they fit into memory.

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
        """The levelled, band-limited sound of a file.

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
