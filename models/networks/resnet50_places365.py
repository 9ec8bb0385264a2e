"""ResNet-50 trained on Places365, the paper's network for the place slot.

He et al. 2016 (arXiv:1512.03385) as released by Zhou et al. 2017 ("Places", TPAMI) in
``resnet50_places365.pth.tar``; tensors keep torchvision's names. Loads the published layout;
numbers not verified against the released file.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streamer.extractor import PictureInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Normed

# Pictures are scaled to 256 x 256; the network gets the middle.
_SIDE, _CROP = 256, 224
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
# Inner channels of a stage's blocks, and their number.
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
_WIDER = 4


class _Bottleneck(Normed):
    pairs = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = channels * _WIDER
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu_(self.bn1(self.conv1(x)))
        y = functional.relu_(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu_(y + (x if self.downsample is None else self.downsample(x)))

    def fold(self) -> None:
        """Move every normalisation into the convolution before it."""
        super().fold()
        if self.downsample is not None and len(self.downsample) == 2:
            convolution, norm = self.downsample
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            self.downsample = nn.Sequential(fuse_conv_bn_eval(convolution, norm))


class Resnet50Places365(Normed):
    """Pictures → the 2048 averages before the classifier.

    Front end: the middle 224 × 224 of a picture stretched to 256 × 256, less ImageNet's mean,
    divided by its deviation.

    Shape:
        uint8 ``(batch, 3, 256, 256)`` → ``(batch, 2048)``
    """

    pairs = (("conv1", "bn1"),)
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            levels = torch.tensor(values, device="cpu").view(3, 1, 1) * 255
            self.register_buffer(name, levels, persistent=False)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for index, (channels, blocks) in enumerate(_STAGES, start=1):
            stage = []
            for block in range(blocks):
                stride = 2 if index > 1 and block == 0 else 1
                stage.append(_Bottleneck(inputs, channels, stride))
                inputs = channels * _WIDER
            self.add_module(f"layer{index}", nn.Sequential(*stage))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Embed pictures."""
        edge = (_SIDE - _CROP) // 2
        x = pictures[:, :, edge : edge + _CROP, edge : edge + _CROP].float()
        x = ((x - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for index in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{index}")(x)
        return x.mean((2, 3))


NETWORK = Architecture(
    name="resnet50-places365",
    slots=("place",),
    module=Resnet50Places365,
    input=PictureInput(_SIDE, _SIDE, interval=Fraction(2)),
    dim=2048,
    max_rows=4,
    channels_last=True,
)
