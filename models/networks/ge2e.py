"""GE2E for the speaker slot: identity of the speaker, from 1.6 s of speech.

Wan et al. 2018 (arXiv:1710.10467) as trained by Resemblyzer on LibriSpeech and VoxCeleb; it is
not Deep Speaker.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.mel import MelSpectrogram, frames_to_samples, mel_filters

RATE = 16000
_WIDTH, _HOP = 400, 160
_FRAMES, _BANDS = 160, 40
_DIM = 256
_LOUDNESS = 10 ** (-30 / 20)


class Ge2e(nn.Module):
    """Sound → a unit vector of the voice (zeros where all outputs are zero).

    Front end: a window quieter than -30 dBFS is raised to it, each window on its own; 25 ms
    frames every 10 ms (periodic Hann, no padding: 25,840 samples hold exactly 160 frames), power,
    40 Slaney mel bands, no logarithm.

    Shape:
        ``(batch, 25840)`` → ``(batch, 256)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelSpectrogram(_WIDTH, _HOP, mel_filters(RATE, _WIDTH, _BANDS))
        self.lstm = nn.LSTM(_BANDS, _DIM, num_layers=3, batch_first=True)
        self.linear = nn.Linear(_DIM, _DIM)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        rms = samples.square().mean(dim=1, keepdim=True).sqrt()
        gain = (_LOUDNESS / rms.clamp_min(1e-6)).clamp_min(1.0)
        _, (hidden, _) = self.lstm(self.mel(samples * gain))
        return functional.normalize(functional.relu(self.linear(hidden[-1])), dim=1)


NETWORK = Architecture(
    name="ge2e",
    slots=("speaker",),
    module=Ge2e,
    input=SoundInput(RATE, frames_to_samples(_FRAMES, _WIDTH, _HOP), _FRAMES * _HOP),
    dim=_DIM,
    max_rows=64,
    channels_last=False,
    autocast=torch.float16,
)
