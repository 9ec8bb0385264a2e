"""Fixed sounds and pictures, the same on every machine."""

from __future__ import annotations

import numpy as np
import torch

from streamer.extractor import ClipInput, Extractor, PictureInput
from tests.models.networks.faces import SITTERS, portrait


def voice(rate: int, samples: int) -> torch.Tensor:
    """A gliding harmonic tone that comes and goes four times a second, over faint hiss."""
    time = np.arange(samples) / rate
    pitch = 140.0 + 40.0 * np.sin(2 * np.pi * 0.9 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = sum(np.sin(order * phase) / order**1.3 for order in range(1, 12))
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * 4.0 * time)
    hiss = np.random.default_rng(7).standard_normal(samples)
    return torch.from_numpy((0.12 * tone * envelope + 0.004 * hiss).astype(np.float32))


def surf(rate: int, samples: int) -> torch.Tensor:
    """Low-passed noise in slow swells."""
    noise = np.random.default_rng(11).standard_normal(samples)
    low = np.convolve(noise, np.hanning(int(rate / 800)), mode="same")
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 0.4 * np.arange(samples) / rate)
    return torch.from_numpy((0.2 * low / np.abs(low).max() * swell).astype(np.float32))


def chords(rate: int, samples: int) -> torch.Tensor:
    """Three decaying notes struck twice a second."""
    time = np.arange(samples) / rate
    decay = np.exp(-6.0 * (time % 0.5))
    notes = (np.sin(2 * np.pi * hertz * time) for hertz in (261.63, 329.63, 392.0))
    return torch.from_numpy((0.15 * decay * sum(notes)).astype(np.float32))


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Waves in three colours with two flat rectangles, uint8 ``(3, height, width)``."""
    rows, columns = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    waves = [
        0.5 + 0.5 * np.sin(2 * np.pi * ((3 + seed) * rows + (5 + colour) * columns) + colour)
        for colour in range(3)
    ]
    image = np.stack(waves)
    image[:, height // 8 : height // 3, width // 4 : width // 2] = np.array([0.9, 0.3, 0.1])[
        :, None, None
    ]
    image[:, height // 2 : height * 3 // 4, width // 2 :] = np.array([0.1, 0.4, 0.8])[:, None, None]
    return torch.from_numpy(np.rint(image * 255).astype(np.uint8))


def clip(frames: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """A window that slides over a larger picture, uint8 ``(frames, 1, height, width)``."""
    wide = picture(height * 2, width * 3, seed)[1:2]
    drift = (1.0, -0.6, 0.3)[seed], (0.2, 0.1, -0.4)[seed]
    shots = []
    for index in range(frames):
        left = width + round(drift[0] * index + 2 * np.sin(index * (1 + seed)))
        top = height // 2 + round(drift[1] * index)
        shots.append(wide[:, top : top + height, left : left + width])
    return torch.stack(shots)


def batch(extractor: Extractor) -> torch.Tensor:
    """Three different pieces of the kind the extractor takes."""
    wanted = extractor.input
    if isinstance(wanted, ClipInput):
        size = (wanted.frames, wanted.height, wanted.width)
        return torch.stack([clip(*size, seed) for seed in range(3)])
    if isinstance(wanted, PictureInput):
        if extractor.aspect == "cast":
            return torch.stack([portrait(each, wanted.height, wanted.width) for each in SITTERS])
        return torch.stack([picture(wanted.height, wanted.width, seed) for seed in range(3)])
    return torch.stack([make(wanted.rate, wanted.window) for make in (voice, surf, chords)])
