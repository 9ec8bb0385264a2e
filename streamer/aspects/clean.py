"""Blocks of sound as every resampler can take them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from av import AudioFrame, AudioResampler
from av.error import FFmpegError

from streamer.samples import named, packed, samples_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.timeline import Sound

_PROBE_RATE: Final = 8000


def clean(sound: Sound) -> Sound:
    """Make a block fit for resampling.

    - Channels are interleaved: PyAV 18.1 counts the planes of a frame by looking for a null
      pointer, and reads past the array where there are eight or more.
    - Samples that are not finite become silence: they would never leave a filter's memory.
    - Channels are averaged where their places are unknown (plain WAV files) or the resampler has
      no downmix for them: without a layout, it guesses one and leaves its guess in the frame.
    - 64-bit integers lose their lower half, which PyAV cannot write.
    - The frame's own timestamp is left out, which may jitter by a tick or more.

    Args:
        sound: A decoded block of any layout and sample format; it is not changed.

    Returns:
        The block, interleaved; its start and length are as before.
    """
    frame = sound.frame
    samples, layout = samples_of(frame), frame.layout.name
    if samples.dtype.kind == "f" and not (finite := np.isfinite(samples)).all():
        samples = np.where(finite, samples, 0).astype(samples.dtype)
    if not mixes(layout):
        samples, layout = _mean(samples), "mono"
    if samples.dtype.itemsize == 8 and samples.dtype.kind == "i":
        samples = (samples >> 32).astype(np.int32)
    return replace(sound, frame=packed(samples, layout, frame.sample_rate))


@lru_cache(maxsize=64)
def mixes(layout: str) -> bool:
    """Say whether the resampler can mix a layout down to one channel.

    Args:
        layout: FFmpeg's name of it.
    """
    if not named(layout):
        return False
    try:
        silence = AudioFrame("flt", layout, 1)
        silence.sample_rate = _PROBE_RATE
        AudioResampler(format="s16", layout="mono", rate=_PROBE_RATE).resample(silence)
    except (FFmpegError, ValueError):
        return False
    return True


def _mean(samples: NDArray[Any]) -> NDArray[Any]:
    mean = samples.mean(axis=1, keepdims=True, dtype=np.float64)
    if samples.dtype.kind != "f":
        mean = mean.round()
    made: NDArray[Any] = mean.astype(samples.dtype)
    return made
