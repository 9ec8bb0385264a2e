"""INA's speech / music / noise network for the stft slot: kind of sound.

The convolutional network of inaSpeechSegmenter (Doukhan et al., ICASSP 2018), which reads a short
log spectrogram; not trained on AVA-ActiveSpeaker, on which the paper's spectrogram network was.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_eval

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import ConvNorm, Foldable
from streamer.models.networks.mel import (
    frames_to_samples,
    hertz_to_mel,
    magnitudes,
    mel_filters,
    mel_to_hertz,
)

RATE = 16000
_WIDTH, _HOP, _FFT = 400, 160, 512
_FRAMES, _BANDS, _USED = 68, 24, 21
_LOW, _HIGH = 100.0, 8000.0
_EMPHASIS = 0.97
_FAINTEST = 1e-13
_DIM = 256
_EPSILON = 1e-3


class _Dense(Foldable):
    """Linear → batch normalisation → ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(_DIM, _DIM)
        self.norm: nn.BatchNorm1d | None = nn.BatchNorm1d(_DIM, eps=_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear(x)
        return functional.relu_(x if self.norm is None else self.norm(x))

    def fold(self) -> None:
        """Move the normalisation into the linear layer."""
        if self.norm is not None:
            self.linear = fuse_linear_bn_eval(self.linear, self.norm)
            self.norm = None


class InaSmn(nn.Module):
    """Sound → the 256 inputs of the classifier.

    Front end: 25 ms frames every 10 ms (symmetric Hann, no padding: 11,120 samples hold exactly
    68 frames), each pre-emphasised by 0.97 on its own, power, 24 triangular bands spaced evenly
    over HTK mels between 100 and 8000 Hz, natural logarithm; the lower 21 bands are brought to
    mean 0 and deviation 1 over the whole window, so that loudness has no effect.

    Shape:
        ``(batch, 11120)`` → ``(batch, 256)``
    """

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(_WIDTH, periodic=False, device="cpu")
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", band_filters()[:, :_USED], persistent=False)
        layers = ((1, 64, (7, 4)), (64, 128, (3, 3)), (128, 128, (3, 3)), (128, 256, (3, 3)))
        self.convolutions = nn.ModuleList(
            ConvNorm(inputs, outputs, kernel, bias=True, epsilon=_EPSILON)
            for inputs, outputs, kernel in layers
        )
        self.dense = nn.Sequential(*(_Dense() for _ in range(4)))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        x = self._patch(samples)[:, None].contiguous(memory_format=torch.channels_last)
        first, second, third, fourth = self.convolutions
        # The released network pads its poolings as TensorFlow's "same" does: 62 rows by one on
        # each side, 5 columns by one at the end.
        x = functional.max_pool2d(first(x), (4, 2), padding=(1, 0))
        x = functional.max_pool2d(third(second(x)), 2, ceil_mode=True)
        x = functional.max_pool2d(fourth(x), (4, 1)).flatten(1)
        embedded: torch.Tensor = self.dense(x)
        return embedded

    def _patch(self, samples: torch.Tensor) -> torch.Tensor:
        frames = samples.unfold(-1, _WIDTH, _HOP)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        emphasised = frames - _EMPHASIS * before
        power = magnitudes(emphasised, self.window, _WIDTH, _FFT)[..., 0, :].square()
        bands = torch.log((power @ self.filters).clamp_min(_FAINTEST))
        deviation, mean = torch.std_mean(bands, dim=(1, 2), correction=0, keepdim=True)
        return (bands - mean) / (deviation + 1e-6)


def band_filters() -> torch.Tensor:
    """Make the front end's filters, float32 ``(257, 24)``.

    The released network was trained without the last bin on the falling side of each triangle.
    """
    filters = mel_filters(RATE, _FFT, _BANDS, low=_LOW, high=_HIGH, scale="htk")
    ends = hertz_to_mel(np.array([_LOW, _HIGH]), "htk")
    edges = mel_to_hertz(np.linspace(ends[0], ends[1], _BANDS + 2), "htk")
    for band, upper in enumerate(edges[2:]):
        filters[int(upper * _FFT / RATE), band] = 0.0
    return filters


NETWORK = Architecture(
    name="ina-smn",
    slots=("stft",),
    module=InaSmn,
    input=SoundInput(RATE, frames_to_samples(_FRAMES, _WIDTH, _HOP), _FRAMES * _HOP),
    dim=_DIM,
    max_rows=16,
    channels_last=True,
    autocast=torch.bfloat16,
)
