"""Musicnn (the official MTT checkpoint) for the musicnn slot: instruments, mood, genre.

Pons & Serra 2019 (arXiv:1909.06654): musically motivated filters, dense middle, temporal pooling;
trained on MagnaTagATune.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Foldable
from streamer.models.networks.mel import MelSpectrogram, frames_to_samples, mel_filters

RATE = 16000
_WIDTH, _HOP = 512, 256
_FRAMES, _BANDS = 187, 96
_EPSILON = 1e-3
_DIM = 200
# Filters, frames and bands of the five front convolutions: two timbral, three temporal.
_FRONT = ((204, 7, 38), (204, 7, 67), (51, 128, 1), (51, 64, 1), (51, 32, 1))
_MIDDLE = 64


class _PeakConv(Foldable):
    """Convolution → ReLU → normalisation → maximum over frequency, "same" in time.

    ReLU and a positive scale keep the order and a negative scale reverses it, so only the largest
    (or smallest) band needs them. Filters with a negative scale are negated at load, such that
    one maximum serves all.

    Shape:
        ``(batch, 1, frames, bands)`` → ``(batch, filters, frames)``
    """

    signs: torch.Tensor

    def __init__(self, filters: int, frames: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (frames, bands))
        self.norm = nn.BatchNorm1d(filters, eps=_EPSILON)
        self.register_buffer("signs", torch.ones(filters, 1, device="cpu"), persistent=False)
        self._pad = (0, 0, (frames - 1) // 2, frames // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(functional.pad(x, self._pad)).amax(3) * self.signs
        peak: torch.Tensor = self.norm(functional.relu_(x))
        return peak

    def fold(self) -> None:
        """Negate the filters whose scale is negative."""
        wanted = torch.where(self.norm.weight < 0, -1.0, 1.0)
        turn = wanted * self.signs[:, 0]
        self.conv.weight.mul_(turn[:, None, None, None])
        if self.conv.bias is not None:
            self.conv.bias.mul_(turn)
        self.signs = wanted[:, None]


class _TimeConv(nn.Module):
    """Convolution of seven frames → ReLU → normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 7, padding=3)
        self.norm = nn.BatchNorm1d(outputs, eps=_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(functional.relu(self.conv(x)))
        return y


class Musicnn(nn.Module):
    """Sound → the normalised 200-d layer before Musicnn's tags.

    Front end: frames of 512 every 256 samples (periodic Hann, no padding: 48,128 samples hold
    exactly 187 frames), power, 96 Slaney mel bands, ``log10(10⁴ mel + 1)``.

    Shape:
        ``(batch, 48128)`` → ``(batch, 200)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelSpectrogram(_WIDTH, _HOP, mel_filters(RATE, _WIDTH, _BANDS))
        self.input_norm = nn.BatchNorm2d(1, eps=_EPSILON)
        self.front = nn.ModuleList(_PeakConv(*shape) for shape in _FRONT)
        front = sum(filters for filters, _, _ in _FRONT)
        self.middle = nn.ModuleList(
            [_TimeConv(front, _MIDDLE), _TimeConv(_MIDDLE, _MIDDLE), _TimeConv(_MIDDLE, _MIDDLE)]
        )
        pooled = 2 * (front + 3 * _MIDDLE)
        self.pool_norm = nn.BatchNorm1d(pooled, eps=_EPSILON)
        self.dense = nn.Linear(pooled, _DIM)
        self.dense_norm = nn.BatchNorm1d(_DIM, eps=_EPSILON)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        x = self.input_norm(torch.log10(1e4 * self.mel(samples) + 1.0)[:, None])
        levels = [torch.cat([peak(x) for peak in self.front], dim=1)]
        levels.append(self.middle[0](levels[0]))
        for layer in self.middle[1:]:
            levels.append(layer(levels[-1]) + levels[-1])
        features = torch.cat(levels, dim=1)
        pooled = torch.stack([features.amax(2), features.mean(2)], dim=2).flatten(1)
        tokens: torch.Tensor = self.dense_norm(functional.relu(self.dense(self.pool_norm(pooled))))
        return tokens


NETWORK = Architecture(
    name="musicnn-mtt",
    slots=("musicnn",),
    module=Musicnn,
    input=SoundInput(RATE, frames_to_samples(_FRAMES, _WIDTH, _HOP), _FRAMES * _HOP),
    dim=_DIM,
    max_rows=2,
    channels_last=False,
    autocast=torch.bfloat16,
)
