"""OpenL3 (music, 256 mel bands, 512 values), the paper's network for the openl3 slot.

Cramer et al. 2019 ("Look, listen and learn more", ICASSP); the torch layout of its published port.
Loads the published layout; numbers not verified against the released file.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Normed
from streamer.models.networks.mel import magnitudes

RATE = 48000
_FFT, _HOP, _BANDS = 2048, 242, 256
# Zeros that TensorFlow's "same" puts around one second.
_AROUND = _FFT - RATE % _HOP
_CHANNELS = (1, 64, 64, 128, 128, 256, 256, 512)
_DIM = 512
_EPSILON = 1e-3
_SOFTEST, _RANGE = 1e-10, 80.0
_POOL = (32, 24)


class _Front(nn.Module):
    """Published filter bank; an FFT replaces its two banks of sines."""

    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(_FFT, device="cpu"), persistent=False)
        self.mel_basis = nn.Parameter(torch.empty(_BANDS, _FFT // 2 + 1))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(samples, (_AROUND // 2, _AROUND - _AROUND // 2))
        power = magnitudes(padded, self.window, _HOP, _FFT).square()
        mel = (power @ self.mel_basis.T).clamp_min(0).sqrt().transpose(1, 2)
        level = 10.0 * torch.log10(mel.clamp_min(_SOFTEST))
        return (level - level.amax((1, 2), keepdim=True)).clamp_min(-_RANGE)


class Openl3(Normed):
    """Sound → 512 maxima of the embedding layer.

    Front end: frames of 2048 every 242 samples (periodic Hann, zeros around the window as in
    training), power, 256 mel bands, root, decibels relative to the window's maximum, 80 at most.

    Shape:
        ``(batch, 48000)`` → ``(batch, 512)``
    """

    pairs = tuple((f"conv2d_{n}", f"batch_normalization_{n + 1}") for n in range(1, 8))

    def __init__(self) -> None:
        super().__init__()
        self.speclayer = _Front()
        self.batch_normalization_1 = nn.BatchNorm2d(1, eps=_EPSILON)
        for number, (inputs, outputs) in enumerate(pairwise(_CHANNELS), start=1):
            norm = nn.BatchNorm2d(outputs, eps=_EPSILON)
            self.add_module(f"conv2d_{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
            self.add_module(f"batch_normalization_{number + 1}", norm)
        self.audio_embedding_layer = nn.Conv2d(_CHANNELS[-1], _DIM, 3, padding=1)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        x = self.batch_normalization_1(self.speclayer(samples)[:, None])
        x = x.contiguous(memory_format=torch.channels_last)
        for number, (convolution, norm) in enumerate(self.pairs, start=1):
            x = self.get_submodule(norm)(self.get_submodule(convolution)(x))
            x = functional.relu_(x)
            if number in (2, 4, 6):
                x = functional.max_pool2d(x, 2)
        return functional.max_pool2d(self.audio_embedding_layer(x), _POOL).flatten(1)


NETWORK = Architecture(
    name="openl3-music-mel256-512",
    slots=("openl3",),
    module=Openl3,
    input=SoundInput(RATE, RATE, RATE),
    dim=_DIM,
    max_rows=2,
    channels_last=True,
)
