"""The front end that VGGish and YAMNet share: 0.96 s of sound as a log-mel patch."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from streamer.extractor import SoundInput
from streamer.models.networks.mel import frames_to_samples, magnitudes, mel_filters

_RATE, _WIDTH, _HOP, _FFT = 16000, 400, 160, 512
_FRAMES, _BANDS = 96, 64

INPUT: Final = SoundInput(_RATE, frames_to_samples(_FRAMES, _WIDTH, _HOP), _FRAMES * _HOP)


class AudiosetMel(nn.Module):
    """Sound → one channel of ``ln(mel + offset)``.

    25 ms frames every 10 ms (periodic Hann, no padding: 15,600 samples hold exactly 96 frames),
    magnitudes, 64 HTK mel bands between 125 and 7500 Hz.

    Args:
        offset: Keeps silence finite.

    Shape:
        ``(batch, 15600)`` → ``(batch, 1, 96, 64)``, channels last
    """

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, offset: float) -> None:
        super().__init__()
        self._offset = offset
        filters = mel_filters(
            _RATE, _FFT, _BANDS, low=125.0, high=7500.0, scale="htk", slopes="mel", unit_area=False
        )
        self.register_buffer("window", torch.hann_window(_WIDTH, device="cpu"), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Cuts, transforms and compresses."""
        mel = magnitudes(samples, self.window, _HOP, _FFT) @ self.filters
        return torch.log(mel + self._offset)[:, None].contiguous(memory_format=torch.channels_last)
