"""SoundNet-8 up to its fifth layer for the openl3 slot: the sound of scenes.

Aytar et al. 2016 (arXiv:1610.09001), distilled from image networks on Flickr videos: audio-visual
transfer like OpenL3, but not OpenL3. The deeper layers of the released weights hardly respond
and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import ConvNorm

RATE = 22050
_SECONDS = 3
_FULL_SCALE = 256.0


@dataclass(frozen=True, slots=True)
class _Layer:
    channels: int
    kernel: int
    pool: int


_LAYERS = (
    _Layer(16, 64, 8),
    _Layer(32, 32, 8),
    _Layer(64, 16, 1),
    _Layer(128, 8, 1),
    _Layer(256, 4, 4),
)


class SoundNetConv5(nn.Module):
    """Waveform → mean and maximum over time of the fifth pooled layer.

    Samples are scaled to ±256. Every convolution has stride 2 and half a kernel of zeros on
    both sides.

    Shape:
        ``(batch, 66150)`` → ``(batch, 512)``
    """

    def __init__(self) -> None:
        super().__init__()
        channels = 1
        layers: list[nn.Module] = []
        for layer in _LAYERS:
            half = layer.kernel // 2
            layers.append(
                ConvNorm(
                    channels,
                    layer.channels,
                    layer.kernel,
                    stride=2,
                    padding=(half, half),
                    bias=True,
                    axes=1,
                )
            )
            channels = layer.channels
        self.layers = nn.ModuleList(layers)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        x = (samples * _FULL_SCALE)[:, None]
        for spec, layer in zip(_LAYERS, self.layers, strict=True):
            x = layer(x)
            if spec.pool > 1:
                x = functional.max_pool1d(x, spec.pool)
        return torch.cat([x.mean(2), x.amax(2)], dim=1)


NETWORK = Architecture(
    name="soundnet-conv5",
    slots=("openl3",),
    module=SoundNetConv5,
    input=SoundInput(RATE, _SECONDS * RATE, _SECONDS * RATE),
    dim=2 * _LAYERS[-1].channels,
    max_rows=8,
    channels_last=False,
    autocast=torch.float16,
)
