"""MTCNN and dlib's face descriptor for the cast slot: whose face fills the picture.

The descriptor is a 29-layer residual network (King 2017, dlib's ``dnn_face_recognition``), trained
on some three million faces of FaceScrub, VGG and the web; faces of one person are less than about
0.6 apart. Face detection stays in float32: other scores would let other faces through.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import PictureInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Foldable
from streamer.models.networks.mtcnn import HEIGHT, WIDTH, Faces, LargestFace, largest_face

SIDE = 150
DIM = 128
_MEANS = (122.782, 117.001, 104.298)
# Output channels of the residual units, and whether they halve the resolution.
_UNITS = (
    *((32, False),) * 3,
    *((64, index == 0) for index in range(4)),
    *((128, index == 0) for index in range(3)),
    *((256, index == 0) for index in range(3)),
    (256, True),
)


class _Scaled(Foldable):
    """Convolution, then a scale and a shift for each channel."""

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
        """Move scale and shift into the convolution."""
        if self.scale is not None and self.shift is not None:
            assert self.conv.bias is not None
            self.conv.weight.data = self.conv.weight.data * self.scale.data[:, None, None, None]
            self.conv.bias.data = self.conv.bias.data * self.scale.data + self.shift.data
            self.scale = self.shift = None


class _Unit(nn.Module):
    """Residual unit; the shortcut is averaged and padded with zeros to match."""

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
    """Pad ``x`` with zeros at the end of each axis to the larger size of the two."""
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
        """Describe faces."""
        x = ((faces - self.means) / 256.0).contiguous(memory_format=torch.channels_last)
        x = functional.max_pool2d(functional.relu_(self.stem(x)), 3, 2)
        described: torch.Tensor = self.dense(self.units(x).mean((2, 3)))
        return described


# Most pixels that one step of the result may skip; otherwise a smaller copy is sampled.
_FINEST = 1.5

# Eyes, nose and mouth corners in dlib's 150 x 150 faces: its mean face shape, with a quarter of
# its size added on every side.
_SHAPE = (
    (0.22549, 0.21599),
    (0.75476, 0.21599),
    (0.490127, 0.515625),
    (0.254149, 0.780233),
    (0.726104, 0.780233),
)
_MARGIN = 0.25


class MtcnnDlib(LargestFace):
    """Pictures → dlib's descriptor of the largest face, NaN where no face is found.

    Shape:
        uint8 ``(batch, 3, 432, 768)`` → ``(batch, 128)``
    """

    grid: torch.Tensor

    def __init__(self) -> None:
        super().__init__(DlibFace(), DIM)
        axis = torch.arange(SIDE, dtype=torch.float64, device="cpu")
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
        self.register_buffer("grid", grid, persistent=False)

    def cut(self, picture: torch.Tensor, found: Faces) -> torch.Tensor | None:
        """Align the largest face; see `LargestFace.cut`."""
        points = largest_points(found)
        # A pixel of the half-size picture lies between two of the whole.
        return None if points is None else aligned(picture, points * 2 + 0.5, self.grid)


def largest_points(found: Faces) -> torch.Tensor | None:
    """Return the five points of the largest certain face.

    Args:
        found: Faces of the picture.

    Returns:
        x and y of the points, or None when there is no such face.

    Shape:
        ``(5, 2)``
    """
    face = largest_face(found)
    if face is None:
        return None
    points: torch.Tensor = found.points[face]
    spread = (points - points.mean(dim=0)).abs().amax()
    return points if spread > 1 else None


def aligned(picture: torch.Tensor, points: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Rotate, scale and cut a face to the descriptor's format.

    Uses the similarity that maps the mean face closest to the points by least squares, as dlib
    does; with points as complex numbers it is a division.

    Args:
        picture: Float RGB.
        points: The face's five points in it, x and y.
        grid: x and y of every pixel of the result, float64.

    Returns:
        The face; black beyond the picture.

    Shape:
        ``(3, height, width)``, ``(5, 2)``, ``(150, 150, 2)`` → ``(3, 150, 150)``
    """
    shape = torch.tensor(_SHAPE, dtype=torch.float64, device=points.device)
    wanted = torch.view_as_complex((shape + _MARGIN) / (1 + 2 * _MARGIN) * SIDE)
    given = torch.view_as_complex(points.double().contiguous())
    turned = wanted - wanted.mean()
    step = ((given - given.mean()) * turned.conj()).sum() / turned.abs().square().sum()
    source = torch.view_as_complex(grid) - wanted.mean()
    places = torch.view_as_real(source * step + given.mean())
    spacing = float(step.abs())
    while spacing > _FINEST and min(picture.shape[1:]) >= 2 * SIDE:
        picture = functional.avg_pool2d(picture, 2)
        places, spacing = (places - 0.5) / 2, spacing / 2
    height, width = picture.shape[1:]
    last = torch.tensor([width - 1, height - 1], dtype=torch.float64, device=points.device)
    normal = (places / last * 2 - 1).float()
    face: torch.Tensor = functional.grid_sample(
        picture[None], normal[None], mode="bilinear", padding_mode="zeros", align_corners=True
    )[0]
    return face


NETWORK = Architecture(
    name="mtcnn-dlib",
    slots=("cast",),
    module=MtcnnDlib,
    input=PictureInput(HEIGHT, WIDTH, interval=Fraction(2), keep_aspect=True),
    dim=DIM,
    max_rows=8,
    channels_last=True,
)
