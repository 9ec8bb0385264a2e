"""MTCNN and FaceNet for the cast slot: whose face fills the picture, in 512 values.

The descriptor is Inception-ResNet v1 (Szegedy et al. 2017, arXiv:1602.07261) trained as FaceNet
(Schroff et al. 2015) on VGGFace2; tensors keep the names of its published torch port. Loads the
published layout; numbers not verified against the released file.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_eval

from streamer.extractor import PictureInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Foldable, Normed
from streamer.models.networks.mtcnn import HEIGHT, WIDTH, Faces, LargestFace, largest_face

SIDE = 160
DIM = 512
_EPSILON = 1e-3

Kernel = int | tuple[int, int]


class _Conv(Normed):
    """Convolution → normalisation → ReLU."""

    pairs = (("conv", "bn"),)

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu_(self.bn(self.conv(x)))


class _Residual(nn.Module):
    """Parallel branches, projected to the input's channels and added to it with a weight.

    Args:
        channels: Input and output channels.
        branches: The branches.
        wide: Output channels of all branches.
        share: Weight of the branches.
        last: Omit the ReLU.
    """

    def __init__(
        self,
        channels: int,
        branches: list[nn.Module],
        wide: int,
        share: float,
        *,
        last: bool = False,
    ) -> None:
        super().__init__()
        self._names = [f"branch{index}" for index in range(len(branches))]
        for name, branch in zip(self._names, branches, strict=True):
            self.add_module(name, branch)
        self.conv2d = nn.Conv2d(wide, channels, 1)
        self._share = share
        self._last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = torch.cat([self.get_submodule(name)(x) for name in self._names], dim=1)
        y = self.conv2d(side) * self._share + x
        return y if self._last else functional.relu_(y)


class _Reduction(nn.Module):
    """Parallel branches that halve the resolution, and max pooling."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self._names = [f"branch{index}" for index in range(len(branches))]
        for name, branch in zip(self._names, branches, strict=True):
            self.add_module(name, branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = functional.max_pool2d(x, 3, 2)
        return torch.cat([*(self.get_submodule(name)(x) for name in self._names), kept], dim=1)


class InceptionResnetV1(Foldable):
    """Faces → unit vectors, close together for the same person.

    Shape:
        Float in about [-1, 1], ``(batch, 3, 160, 160)`` → ``(batch, 512)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = _Conv(3, 32, 3, 2)
        self.conv2d_2a = _Conv(32, 32, 3)
        self.conv2d_2b = _Conv(32, 64, 3, 1, 1)
        self.conv2d_3b = _Conv(64, 80, 1)
        self.conv2d_4a = _Conv(80, 192, 3)
        self.conv2d_4b = _Conv(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _Reduction(
            [
                _Conv(256, 384, 3, 2),
                nn.Sequential(_Conv(256, 192, 1), _Conv(192, 192, 3, 1, 1), _Conv(192, 256, 3, 2)),
            ]
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = _Reduction(
            [
                nn.Sequential(_Conv(896, 256, 1), _Conv(256, 384, 3, 2)),
                nn.Sequential(_Conv(896, 256, 1), _Conv(256, 256, 3, 2)),
                nn.Sequential(_Conv(896, 256, 1), _Conv(256, 256, 3, 1, 1), _Conv(256, 256, 3, 2)),
            ]
        )
        self.repeat_3 = nn.Sequential(*(_block8(0.2) for _ in range(5)))
        self.block8 = _block8(1.0, last=True)
        self.last_linear = nn.Linear(1792, DIM, bias=False)
        self.last_bn: nn.Module = nn.BatchNorm1d(DIM, eps=_EPSILON)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Describe faces."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces)))
        x = self.conv2d_3b(functional.max_pool2d(x, 3, 2))
        x = self.repeat_1(self.conv2d_4b(self.conv2d_4a(x)))
        x = self.repeat_2(self.mixed_6a(x))
        x = self.block8(self.repeat_3(self.mixed_7a(x))).mean((2, 3))
        return functional.normalize(self.last_bn(self.last_linear(x)), dim=1)

    def fold(self) -> None:
        """Move the last normalisation into the linear layer before it."""
        if isinstance(self.last_bn, nn.BatchNorm1d):
            self.last_linear = fuse_linear_bn_eval(self.last_linear, self.last_bn)
            self.last_bn = nn.Identity()


def _block35() -> _Residual:
    branches: list[nn.Module] = [
        _Conv(256, 32, 1),
        nn.Sequential(_Conv(256, 32, 1), _Conv(32, 32, 3, 1, 1)),
        nn.Sequential(_Conv(256, 32, 1), _Conv(32, 32, 3, 1, 1), _Conv(32, 32, 3, 1, 1)),
    ]
    return _Residual(256, branches, 96, 0.17)


def _block17() -> _Residual:
    tall = _Conv(128, 128, (7, 1), 1, (3, 0))
    branches: list[nn.Module] = [
        _Conv(896, 128, 1),
        nn.Sequential(_Conv(896, 128, 1), _Conv(128, 128, (1, 7), 1, (0, 3)), tall),
    ]
    return _Residual(896, branches, 256, 0.1)


def _block8(share: float, *, last: bool = False) -> _Residual:
    tall = _Conv(192, 192, (3, 1), 1, (1, 0))
    branches: list[nn.Module] = [
        _Conv(1792, 192, 1),
        nn.Sequential(_Conv(1792, 192, 1), _Conv(192, 192, (1, 3), 1, (0, 1)), tall),
    ]
    return _Residual(1792, branches, 384, share, last=last)


_MIDDLE, _SPAN = 127.5, 128.0


class MtcnnFacenet(LargestFace):
    """Pictures → FaceNet's descriptor of the largest face, NaN where no face is found.

    Shape:
        uint8 ``(batch, 3, 432, 768)`` → ``(batch, 512)``
    """

    def __init__(self) -> None:
        super().__init__(InceptionResnetV1(), DIM)

    def cut(self, picture: torch.Tensor, found: Faces) -> torch.Tensor | None:
        """Cut out and scale the largest face; see `LargestFace.cut`."""
        box = largest_box(found)
        face = None if box is None else cut_face(picture, box * 2)
        return None if face is None else (face - _MIDDLE) / _SPAN


def largest_box(found: Faces) -> torch.Tensor | None:
    """Return the box of the largest certain face.

    Args:
        found: Faces of the picture.

    Returns:
        Left, top, right, bottom, or None when there is no such face.

    Shape:
        ``(4,)``
    """
    face = largest_face(found)
    return None if face is None else found.boxes[face]


def cut_face(picture: torch.Tensor, box: torch.Tensor) -> torch.Tensor | None:
    """Cut a box out of a picture and scale it to the descriptor's size.

    Args:
        picture: Float RGB.
        box: Left, top, right, bottom.

    Returns:
        The face by area averages, or None when nothing of the box lies in the picture.

    Shape:
        ``(3, height, width)``, ``(4,)`` → ``(3, 160, 160)``
    """
    height, width = picture.shape[1:]
    left, top = (max(int(edge), 0) for edge in box[:2])
    right, bottom = min(int(box[2]), width), min(int(box[3]), height)
    if right - left < 2 or bottom - top < 2:
        return None
    part = picture[None, :, top:bottom, left:right]
    # Area averages even for enlargement, as in the published pipeline for tensors.
    return functional.interpolate(part, (SIDE, SIDE), mode="area")[0]


NETWORK = Architecture(
    name="mtcnn-facenet",
    slots=("cast",),
    module=MtcnnFacenet,
    input=PictureInput(HEIGHT, WIDTH, interval=Fraction(2), keep_aspect=True),
    dim=DIM,
    max_rows=8,
    channels_last=True,
)
