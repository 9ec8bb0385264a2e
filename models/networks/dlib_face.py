"""dlib's face descriptor: a 29-layer residual network whose distances tell people apart.

King 2017 (dlib's ``dnn_face_recognition``); same person below a distance of about 0.6. Trained on
some three million faces of FaceScrub, VGG and the web.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from streamer.models.networks.layers import Foldable

SIDE = 150
DIM = 128
_MEANS = (122.782, 117.001, 104.298)
# Output channels of the residual units, and whether they halve the picture.
_UNITS = (
    *((32, False),) * 3,
    *((64, index == 0) for index in range(4)),
    *((128, index == 0) for index in range(3)),
    *((256, index == 0) for index in range(3)),
    (256, True),
)


class _Scaled(Foldable):
    """Convolution, then a scale and a shift per channel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.scale: nn.Parameter | None = nn.Parameter(torch.empty(outputs))
        self.shift: nn.Parameter | None = nn.Parameter(torch.empty(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if self.scale is not None and self.shift is not None:
            x = x * self.scale[:, None, None] + self.shift[:, None, None]
        return x

    def fold(self) -> None:
        """Moves scale and shift into the convolution."""
        if self.scale is not None and self.shift is not None:
            assert self.conv.bias is not None
            self.conv.weight.data = self.conv.weight.data * self.scale.data[:, None, None, None]
            self.conv.bias.data = self.conv.bias.data * self.scale.data + self.shift.data
            self.scale = self.shift = None


class _Unit(nn.Module):
    """Residual unit; the shortcut is averaged down and filled up with zeros to fit."""

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.first = _Scaled(inputs, outputs, 3, 2 if halve else 1, 0 if halve else 1)
        self.second = _Scaled(outputs, outputs, 3, 1, 1)
        self._halve = halve

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(functional.relu_(self.first(x)))
        if self._halve:
            x = functional.avg_pool2d(x, 2)
        return functional.relu_(_filled(y, x) + _filled(x, y))


def _filled(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``x`` with zeros after each axis up to the larger of the two."""
    missing = [max(0, other.shape[axis] - x.shape[axis]) for axis in (3, 2, 1)]
    if not any(missing):
        return x
    return functional.pad(x, [side for more in missing for side in (0, more)])


class DlibFace(nn.Module):
    """Aligned faces → descriptors.

    Shape:
        float RGB 0 … 255 ``(batch, 3, 150, 150)`` → ``(batch, 128)``
    """

    means: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        means = torch.tensor(_MEANS, device="cpu")[:, None, None]
        self.register_buffer("means", means, persistent=False)
        self.stem = _Scaled(3, 32, 7, 2, 0)
        units: list[nn.Module] = []
        channels = 32
        for outputs, halve in _UNITS:
            units.append(_Unit(channels, outputs, halve=halve))
            channels = outputs
        self.units = nn.Sequential(*units)
        self.dense = nn.Linear(channels, DIM, bias=False)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Describes faces."""
        x = ((faces - self.means) / 256.0).contiguous(memory_format=torch.channels_last)
        x = functional.max_pool2d(functional.relu_(self.stem(x)), 3, 2)
        described: torch.Tensor = self.dense(self.units(x).mean((2, 3)))
        return described
