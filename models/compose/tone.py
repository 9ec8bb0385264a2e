"""Synthetic room tone and weather: shaped noise, for media folders without recordings of any."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tone:
    """A colour of noise and how it swells.

    Attributes:
        low: Frequency in Hz below which it fades.
        high: Frequency in Hz above which it fades.
        slope: Exponent of its spectrum over frequency; negative is dull.
        swell: Depth of the slow swelling, 0 … 1.
        period: Seconds of one swell.
        hum: Frequency in Hz of a faint hum; 0 is none.
    """

    low: float
    high: float
    slope: float
    swell: float
    period: float
    hum: float = 0.0


TONES: dict[str, Tone] = {
    "wind": Tone(60, 900, -1.0, 0.8, 5.0),
    "surf": Tone(150, 6000, -0.6, 0.9, 8.0),
    "stream": Tone(500, 7000, -0.2, 0.15, 1.1),
    "room": Tone(40, 400, -1.2, 0.05, 7.0, hum=100.0),
    "hall": Tone(80, 1500, -1.5, 0.1, 11.0),
    "engine": Tone(50, 700, -1.4, 0.2, 0.7, hum=75.0),
}


def draw_tone(tone: Tone, seconds: float, rate: int, seed: int) -> NDArray[np.float32]:
    """Noise with the spectrum and the swelling of a tone, peaking at 0.5.

    Args:
        tone: What it sounds like.
        seconds: Length.
        rate: Samples a second.
        seed: Decides the noise.
    """
    size = round(seconds * rate)
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / rate)
    safe = np.maximum(frequency, 1.0)
    shape = (safe / 1000.0) ** tone.slope
    shape *= 1.0 / (1.0 + (tone.low / safe) ** 4) / (1.0 + (safe / tone.high) ** 4)
    noise = np.fft.irfft(spectrum * shape, size)
    noise /= noise.std()
    time = np.arange(size) / rate
    phases = rng.random(3)
    wave_sum = sum(
        np.sin(2 * np.pi * (time / (tone.period * k) + p))
        for k, p in zip((1.0, 1.618, 2.39), phases, strict=True)
    )
    noise *= 1.0 + tone.swell * wave_sum / 3.0
    if tone.hum:
        noise += 0.8 * np.sin(2 * np.pi * tone.hum * time)
    return np.asarray(0.5 * noise / np.abs(noise).max(), np.float32)


def write_wave(samples: NDArray[np.float32], rate: int, path: Path) -> None:
    """Writes mono 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
