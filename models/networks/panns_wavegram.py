"""PANNs Wavegram-Logmel-CNN14, the paper's network for the panns slot.

Sound events, from a log-mel picture and a learned one side by side.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Normed
from streamer.models.networks.panns import DIM, INPUT, ConvBlock, Panns

# A learned picture has this many rows for each of its channels.
_ROWS = 32


class _WaveBlock(Normed):
    """Two convolutions over time, the second dilated, then a maximum of four."""

    pairs = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=2, dilation=2, bias=False)
        self.bn1 = nn.BatchNorm1d(outputs)
        self.bn2 = nn.BatchNorm1d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.relu_(self.bn2(self.conv2(x)))
        return functional.max_pool1d(x, 4)


class WavegramLogmelCnn14(Panns, Normed):
    """Sound → 2048 values; see `Panns`.

    Shape:
        ``(batch, 81920)`` → ``(batch, 2048)``
    """

    pairs = (("pre_conv0", "pre_bn0"),)

    def __init__(self) -> None:
        super().__init__(after_first=128)
        self.pre_conv0 = nn.Conv1d(1, 64, 11, stride=5, padding=5, bias=False)
        self.pre_bn0 = nn.BatchNorm1d(64)
        self.pre_block1 = _WaveBlock(64, 64)
        self.pre_block2 = _WaveBlock(64, 128)
        self.pre_block3 = _WaveBlock(128, 128)
        self.pre_block4 = ConvBlock(128 // _ROWS, 64, pool=(2, 1))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embeds windows."""
        wave = functional.relu_(self.pre_bn0(self.pre_conv0(samples[:, None])))
        wave = self.pre_block3(self.pre_block2(self.pre_block1(wave)))
        drawn = self.pre_block4(wave.unflatten(1, (-1, _ROWS)).transpose(2, 3))
        return self.top(torch.cat([self.bands(samples), drawn], dim=1))


NETWORK = Architecture(
    name="panns-wavegram-logmel-cnn14",
    slots=("panns",),
    module=WavegramLogmelCnn14,
    input=INPUT,
    dim=DIM,
    max_rows=4,
    channels_last=True,
)
