"""Mel filter banks and short-time spectra, computed once and shared by the sound networks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Scale = Literal["slaney", "htk"]

_BREAK_HZ = 1000.0
_LINEAR_HZ = 200.0 / 3.0
_LOG_STEP = np.log(6.4) / 27.0


def hertz_to_mel(hertz: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Maps frequency to the mel scale.

    Args:
        hertz: Frequencies, 0 or more.
        scale: ``htk`` is ``1127 ln(1 + f / 700)``; ``slaney`` (Auditory Toolbox) is linear up to
            1 kHz and logarithmic above.

    Returns:
        Mels, same shape.
    """
    if scale == "htk":
        return np.asarray(1127.0 * np.log1p(hertz / 700.0))
    linear = hertz / _LINEAR_HZ
    above = _BREAK_HZ / _LINEAR_HZ + np.log(np.maximum(hertz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.asarray(np.where(hertz < _BREAK_HZ, linear, above))


def mel_to_hertz(mels: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Inverse of `hertz_to_mel`.

    Args:
        mels: Mels, 0 or more.
        scale: As there.

    Returns:
        Hertz, same shape.
    """
    if scale == "htk":
        return np.asarray(700.0 * np.expm1(mels / 1127.0))
    knee = _BREAK_HZ / _LINEAR_HZ
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mels, knee) - knee))
    return np.asarray(np.where(mels < knee, mels * _LINEAR_HZ, above))


def mel_filters(
    rate: int,
    n_fft: int,
    bands: int,
    *,
    low: float = 0.0,
    high: float | None = None,
    scale: Scale = "slaney",
    slopes: Literal["hertz", "mel"] = "hertz",
    unit_area: bool = True,
) -> torch.Tensor:
    """Triangular filters that turn spectrum bins into mel bands.

    Args:
        rate: Samples a second.
        n_fft: Length of the Fourier transform.
        bands: Number of filters.
        low: Lower edge of the first filter, Hz.
        high: Upper edge of the last filter, Hz; half the rate when None.
        scale: Spacing of the centres.
        slopes: Whether the sides of a triangle are straight over hertz (librosa, torchaudio) or
            over mels (TensorFlow; the bin at 0 Hz is then left out as TensorFlow does).
        unit_area: Divide each filter by half its width in hertz.

    Returns:
        Float32 weights for a spectrum of ``n_fft // 2 + 1`` bins.

    Shape:
        ``(n_fft // 2 + 1, bands)``
    """
    bins = np.linspace(0.0, rate / 2, n_fft // 2 + 1)
    ends = hertz_to_mel(np.array([low, rate / 2 if high is None else high]), scale)
    edges_mel = np.linspace(ends[0], ends[1], bands + 2)
    edges_hertz = mel_to_hertz(edges_mel, scale)
    if slopes == "mel":
        position, edges = hertz_to_mel(bins, scale), edges_mel
    else:
        position, edges = bins, edges_hertz
    rising = (position[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - position[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if slopes == "mel":
        weights[0] = 0.0
    if unit_area:
        weights *= 2.0 / (edges_hertz[2:] - edges_hertz[:-2])
    return torch.from_numpy(weights.astype(np.float32))


def frames_to_samples(frames: int, width: int, hop: int) -> int:
    """Samples that hold exactly ``frames`` unpadded analysis frames.

    Args:
        frames: Number of frames, 1 or more.
        width: Samples in a frame.
        hop: Samples from one frame to the next.

    Returns:
        Length of the shortest such signal.
    """
    return width + (frames - 1) * hop


def magnitudes(samples: torch.Tensor, window: torch.Tensor, hop: int, n_fft: int) -> torch.Tensor:
    """Magnitude spectra of every whole frame; nothing is padded at the edges.

    Args:
        samples: Sound.
        window: Weights of a frame, at most ``n_fft`` long.
        hop: Samples from one frame to the next.
        n_fft: Length of the transform; a shorter frame is followed by zeros.

    Returns:
        Non-negative magnitudes (not squared).

    Shape:
        ``(batch, samples)`` → ``(batch, frames, n_fft // 2 + 1)``
    """
    frames = samples.unfold(-1, window.shape[0], hop) * window
    spectra: torch.Tensor = torch.fft.rfft(frames, n=n_fft)
    return spectra.abs()
