"""EfficientNet-Lite0 for the place slot: content of a picture, and statistics of a middle layer.

Tan & Le 2019 (arXiv:1905.11946), the Lite variant: ReLU6, no squeeze-and-excitation. Trained on
ImageNet-1k, not on Places365.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from streamer.extractor import PictureInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import ConvNorm, same_padding

SIDE = 224
_EPSILON = 1e-3
_HEAD = 1280
_MIDDLE_BLOCK = 7
_MIDDLE = 80


@dataclass(frozen=True, slots=True)
class _Stage:
    expand: int
    channels: int
    blocks: int
    kernel: int
    stride: int


_STAGES = (
    _Stage(1, 16, 1, 3, 1),
    _Stage(6, 24, 2, 3, 2),
    _Stage(6, 40, 2, 5, 2),
    _Stage(6, 80, 3, 3, 2),
    _Stage(6, 112, 3, 5, 1),
    _Stage(6, 192, 4, 5, 2),
    _Stage(6, 320, 1, 3, 1),
)


class _Block(nn.Module):
    """Inverted residual: expand, filter per channel, project; skip where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expand
        self.skip = stride == 1 and inputs == outputs
        self.expand: nn.Module = (
            nn.Identity()
            if expand == 1
            else ConvNorm(inputs, wide, 1, epsilon=_EPSILON, activation="relu6")
        )
        self.depthwise = ConvNorm(
            wide,
            wide,
            kernel,
            stride=stride,
            padding=same_padding(kernel, stride),
            groups=wide,
            epsilon=_EPSILON,
            activation="relu6",
        )
        self.project = ConvNorm(wide, outputs, 1, epsilon=_EPSILON, activation="none")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return y.add_(x) if self.skip else y


class EfficientNetLite0(nn.Module):
    """Pictures → ``[final 1280 | block 8 mean 80 | block 8 standard deviation 80]``.

    Pixels become ``(value - 127) / 128``. The eighth of the sixteen blocks (14 × 14, 80 channels)
    keeps colour and texture that the classification layer discards.

    Shape:
        uint8 ``(batch, 3, 224, 224)`` → ``(batch, 1440)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(
            3,
            32,
            3,
            stride=2,
            padding=same_padding(3, 2),
            epsilon=_EPSILON,
            activation="relu6",
        )
        blocks: list[nn.Module] = []
        channels = 32
        for stage in _STAGES:
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(_Block(channels, stage.channels, stage.expand, stage.kernel, stride))
                channels = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.head = ConvNorm(channels, _HEAD, 1, epsilon=_EPSILON, activation="relu6")

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Embed pictures."""
        x = ((pictures.float() - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        middle = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == _MIDDLE_BLOCK:
                middle = x
        deviation, mean = torch.std_mean(middle, dim=(2, 3), correction=0)
        return torch.cat([self.head(x).mean((2, 3)), mean, deviation], dim=1)


NETWORK = Architecture(
    name="efficientnet-lite0",
    slots=("place",),
    module=EfficientNetLite0,
    input=PictureInput(SIDE, SIDE, interval=Fraction(2)),
    dim=_HEAD + 2 * _MIDDLE,
    max_rows=4,
    channels_last=True,
    autocast=torch.float16,
)
