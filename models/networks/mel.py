"""Compute mel spectrograms, as the sound networks expect them."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from streamer.extractor import SoundInput

Scale = Literal["slaney", "htk"]

_BREAK_HZ = 1000.0
_LINEAR_HZ = 200.0 / 3.0
_LOG_STEP = np.log(6.4) / 27.0


def hertz_to_mel(hertz: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Convert frequencies to the mel scale.

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
    """Convert mels to frequencies, the inverse of `hertz_to_mel`.

    Args:
        mels: Mels, 0 or more.
        scale: As in `hertz_to_mel`.

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
    """Make triangular filters from spectrum bins to mel bands.

    Args:
        rate: Samples a second.
        n_fft: Length of the Fourier transform.
        bands: Number of filters.
        low: Lower edge of the first filter, Hz.
        high: Upper edge of the last filter, Hz; half the rate when None.
        scale: Spacing of the centres.
        slopes: Whether triangles are linear over hertz (librosa, torchaudio) or over mels
            (TensorFlow, which also leaves out the bin at 0 Hz).
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
    """Count the samples that hold exactly ``frames`` unpadded analysis frames.

    Args:
        frames: Number of frames, 1 or more.
        width: Samples in a frame.
        hop: Samples from one frame to the next.

    """
    return width + (frames - 1) * hop


def magnitudes(samples: torch.Tensor, window: torch.Tensor, hop: int, n_fft: int) -> torch.Tensor:
    """Compute the magnitude spectra of all whole frames, without padding.

    Args:
        samples: Waveforms.
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


class MelSpectrogram(nn.Module):
    """Mel spectrogram of unpadded frames under a periodic Hann window.

    Args:
        width: Samples in a frame.
        hop: Samples from one frame to the next.
        filters: From `mel_filters`; their number of bins sets the length of the transform.
        power: Square the magnitudes.

    Shape:
        ``(batch, samples)`` → ``(batch, frames, bands)``
    """

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, width: int, hop: int, filters: torch.Tensor, *, power: bool = True) -> None:
        super().__init__()
        self._hop = hop
        self._n_fft = 2 * (len(filters) - 1)
        self._power = power
        self.register_buffer("window", torch.hann_window(width, device="cpu"), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Transform windows of sound."""
        spectra = magnitudes(samples, self.window, self._hop, self._n_fft)
        return (spectra.square() if self._power else spectra) @ self.filters


# The front end that VGGish and YAMNet share.
_RATE, _WIDTH, _HOP, _FFT = 16000, 400, 160, 512
_FRAMES, _BANDS = 96, 64

AUDIOSET_INPUT: Final = SoundInput(_RATE, frames_to_samples(_FRAMES, _WIDTH, _HOP), _FRAMES * _HOP)
"""Windows of 0.96 s, as AudioSet's networks take them."""


class AudiosetMel(MelSpectrogram):
    """Log-mel patch of VGGish and YAMNet, one channel of ``ln(mel + offset)``.

    25 ms frames every 10 ms (15,600 samples hold exactly 96 frames), magnitudes, 64 HTK mel bands
    between 125 and 7500 Hz.

    Args:
        offset: Keeps silence finite.

    Shape:
        ``(batch, 15600)`` → ``(batch, 1, 96, 64)``, channels last
    """

    def __init__(self, offset: float) -> None:
        filters = mel_filters(
            _RATE, _FFT, _BANDS, low=125.0, high=7500.0, scale="htk", slopes="mel", unit_area=False
        )
        super().__init__(_WIDTH, _HOP, filters, power=False)
        self._offset = offset

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Transform windows of sound."""
        mel = super().forward(samples)
        return torch.log(mel + self._offset)[:, None].contiguous(memory_format=torch.channels_last)
