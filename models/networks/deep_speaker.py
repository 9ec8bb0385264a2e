"""Deep Speaker's residual network, the paper's network for the speaker slot.

Li et al. 2017 (arXiv:1705.02304); layers as in the published Keras port. Loads the published
layout; numbers not verified against the released file.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import ConvNorm
from streamer.models.networks.mel import frames_to_samples, hertz_to_mel, magnitudes, mel_to_hertz

RATE = 16000
_WIDTH, _HOP, _FFT = 400, 160, 512
_FRAMES, _BANDS = 160, 64
_EMPHASIS = 0.97
_FAINTEST = float(np.finfo(np.float64).eps)
_FLATTEST = 1e-12
_CHANNELS = (64, 128, 256, 512)
_BLOCKS = 3
_MOST = 20.0
_DIM = 512
_EPSILON = 1e-3


class _Residual(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, 3, stride=1)
        self.second = _convolution(channels, channels, 3, stride=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x).clamp(0, _MOST)).clamp(0, _MOST)
        shortcut: torch.Tensor = (y + x).clamp(0, _MOST)
        return shortcut


class DeepSpeaker(nn.Module):
    """Sound → a unit vector of the voice.

    Front end: the window pre-emphasised by 0.97, 25 ms frames every 10 ms without a window function
    (no padding: 25,840 samples hold exactly 160 frames), power / 512, 64 triangular bands between
    whole bins spaced evenly over mels; the bands of every frame are brought to mean 0 and
    deviation 1, so that loudness has no effect. No logarithm.

    Shape:
        ``(batch, 25840)`` → ``(batch, 512)``
    """

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.ones(_WIDTH, device="cpu"), persistent=False)
        self.register_buffer("filters", _filters(), persistent=False)
        self.stages = nn.ModuleList()
        inputs = 1
        for channels in _CHANNELS:
            residuals = [_Residual(channels) for _ in range(_BLOCKS)]
            stem = _convolution(inputs, channels, 5, stride=2)
            self.stages.append(nn.ModuleList([stem, *residuals]))
            inputs = channels
        self.affine = nn.Linear(_CHANNELS[-1] * _BANDS // 16, _DIM)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        before = functional.pad(samples[:, :-1], (1, 0))
        power = magnitudes(samples - _EMPHASIS * before, self.window, _HOP, _FFT).square() / _FFT
        energy = power @ self.filters
        energy = energy.where(energy > 0, _FAINTEST)
        deviation, mean = torch.std_mean(energy, dim=2, correction=0, keepdim=True)
        x = ((energy - mean) / deviation.clamp_min(_FLATTEST))[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            stem, *residuals = stage
            x = stem(x).clamp(0, _MOST)
            for residual in residuals:
                x = residual(x)
        # The dense layer expects channels to vary fastest.
        pooled = x.permute(0, 2, 3, 1).flatten(2).mean(1)
        return functional.normalize(self.affine(pooled), dim=1)


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: int) -> ConvNorm:
    total = kernel - stride
    return ConvNorm(
        inputs,
        outputs,
        kernel,
        stride=stride,
        padding=(total // 2, total - total // 2),
        bias=True,
        epsilon=_EPSILON,
        activation="none",
    )


def _filters() -> torch.Tensor:
    """Make triangular filters with corners on whole bins, as python_speech_features does."""
    ends = hertz_to_mel(np.array([0.0, RATE / 2]), "htk")
    corners = mel_to_hertz(np.linspace(ends[0], ends[1], _BANDS + 2), "htk")
    # The epsilon makes up for rounding of the last corner, which is a whole bin.
    bins = np.floor((_FFT + 1) * corners / RATE + 1e-9)
    position = np.arange(_FFT // 2 + 1)[:, None]
    low, middle, high = bins[:-2], bins[1:-1], bins[2:]
    rising = (position - low) / np.maximum(middle - low, 1)
    falling = (high - position) / np.maximum(high - middle, 1)
    rising = np.where((position >= low) & (position < middle), rising, 0.0)
    falling = np.where((position >= middle) & (position < high), falling, 0.0)
    return torch.from_numpy((rising + falling).astype(np.float32))


NETWORK = Architecture(
    name="deep-speaker",
    slots=("speaker",),
    module=DeepSpeaker,
    input=SoundInput(RATE, frames_to_samples(_FRAMES, _WIDTH, _HOP), _FRAMES * _HOP),
    dim=_DIM,
    max_rows=8,
    channels_last=True,
)
