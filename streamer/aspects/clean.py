"""Blocks of sound as every resampler can take them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from av import AudioFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.timeline import Sound


def clean(sound: Sound) -> Sound:
    """Makes a block fit for resampling.

    - Samples that are no numbers become silence: they would never leave a filter's memory.
    - Channels whose places are unknown (plain WAV files) are averaged: without a layout, a
      resampler guesses one and leaves its guess in the frame.
    - The frame's own timestamp goes, which may jitter by a tick or more.

    Args:
        sound: A decoded block; its frame is changed.

    Returns:
        The block; its start and length are as before.
    """
    frame = sound.frame
    samples: NDArray[Any] = frame.to_ndarray()
    finite = samples.dtype.kind != "f" or bool(np.isfinite(samples).all())
    placed = not frame.layout.name.endswith("channels")
    if finite and placed:
        frame.pts = None
        return sound
    if not finite:
        samples[~np.isfinite(samples)] = 0
    layout = frame.layout.name
    if not placed:
        samples, layout = _mean(samples, frame), "mono"
    made = AudioFrame.from_ndarray(np.ascontiguousarray(samples), frame.format.name, layout)
    made.sample_rate = frame.sample_rate
    return replace(sound, frame=made)


def _mean(samples: NDArray[Any], frame: AudioFrame) -> NDArray[Any]:
    """One channel, ``(1, samples)``, whether the channels lay side by side or in turns."""
    channels = samples if frame.format.is_planar else samples.reshape(frame.samples, -1).T
    mean = channels.mean(axis=0, dtype=np.float64)
    if samples.dtype.kind != "f":
        mean = mean.round()
    made: NDArray[Any] = mean.astype(samples.dtype)[None, :]
    return made
