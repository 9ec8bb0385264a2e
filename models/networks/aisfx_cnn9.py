"""aiSFX CNN9 for the panns slot: kind of sound, from a network of the PANNs family.

Ma & Lerch 2022 (ISMIR), a CNN in the style of Kong et al. 2020 (arXiv:1912.10211), trained on
commercial sound-effect libraries, not on AudioSet.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import ConvNorm
from streamer.models.networks.mel import MelSpectrogram, frames_to_samples, mel_filters

RATE = 44100
_WIDTH, _HOP = 2048, 1024
_FRAMES, _BANDS = 100, 96
_CHANNELS = (1, 64, 128, 256, 512)
_PEAK = 10 ** (-6 / 20)
# Maximum log-mel value of the authors' training set.
_LARGEST = 9.457798957824707


class AisfxCnn9(nn.Module):
    """Sound → 512 features of the last of four double-convolution blocks.

    Front end: each window is scaled to a peak of -6 dBFS on its own; frames of 2048 every 1024
    samples (periodic Hann, no padding: 103,424 samples hold exactly 100 frames), power, 96 HTK
    mel bands of unit area, ``log10(10⁴ mel + 1)`` divided by the training set's maximum.
    Averaged over frequency, then the maximum over time.

    Shape:
        ``(batch, 103424)`` → ``(batch, 512)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelSpectrogram(_WIDTH, _HOP, mel_filters(RATE, _WIDTH, _BANDS, scale="htk"))
        blocks = [
            nn.Sequential(
                ConvNorm(inputs, outputs, 3, padding=(1, 1)),
                ConvNorm(outputs, outputs, 3, padding=(1, 1)),
            )
            for inputs, outputs in pairwise(_CHANNELS)
        ]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        peak = samples.abs().amax(dim=1, keepdim=True).clamp_min(1e-9)
        mel = self.mel(samples / peak * _PEAK)
        x = (torch.log10(mel * 1e4 + 1.0) / _LARGEST)[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        for index, block in enumerate(self.blocks):
            x = block(x if index == 0 else functional.max_pool2d(x, 2))
        return x.mean(3).amax(2)


NETWORK = Architecture(
    name="aisfx-cnn9",
    slots=("panns",),
    module=AisfxCnn9,
    input=SoundInput(RATE, frames_to_samples(_FRAMES, _WIDTH, _HOP), _FRAMES * _HOP),
    dim=_CHANNELS[-1],
    max_rows=4,
    channels_last=True,
    autocast=torch.bfloat16,
)
