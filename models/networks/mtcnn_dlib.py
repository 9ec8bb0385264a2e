"""MTCNN and dlib's face descriptor for the cast slot: whose face fills the picture.

Faces only: a picture in which none is found, as with people seen from behind or from afar, gives no
token. Where there are several, the largest counts.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import PictureInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.dlib_face import DIM, SIDE, DlibFace
from streamer.models.networks.mtcnn import Faces, Mtcnn

HEIGHT, WIDTH = 432, 768
# Faces are looked for at half that size, where they need to be this large.
SMALLEST = 24
SURE = 0.95
# A face is taken from a smaller copy of the picture while a pixel of the result would skip more.
_FINEST = 1.5

# Where eyes, nose and mouth corners lie in dlib's 150 x 150 faces: its mean face shape, with a
# quarter of its size added on every side.
_SHAPE = (
    (0.22549, 0.21599),
    (0.75476, 0.21599),
    (0.490127, 0.515625),
    (0.254149, 0.780233),
    (0.726104, 0.780233),
)
_MARGIN = 0.25


class MtcnnDlib(nn.Module):
    """Pictures → the descriptor of the largest face, NaN where there is none.

    Shape:
        uint8 ``(batch, 3, 432, 768)`` → ``(batch, 128)``
    """

    grid: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.finder = Mtcnn(SMALLEST)
        self.descriptor = DlibFace()
        axis = torch.arange(SIDE, dtype=torch.float64, device="cpu")
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Describes the largest face of every picture."""
        tokens = torch.full((len(pictures), DIM), torch.nan, device=pictures.device)
        rows, faces = [], []
        pictures = pictures.float()
        found = self.finder.find_all(functional.avg_pool2d(pictures, 2))
        for row, (picture, faces_here) in enumerate(zip(pictures, found, strict=True)):
            points = largest(faces_here)
            if points is not None:
                rows.append(row)
                # A pixel of the half-size picture lies between two of the whole.
                faces.append(aligned(picture, points * 2 + 0.5, self.grid))
        if faces:
            tokens[rows] = self.descriptor(torch.stack(faces))
        return tokens


def largest_face(found: Faces) -> int | None:
    """Which of the faces is the largest that is beyond doubt; None when there is no such face."""
    size = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(dim=1)
    size = size.where(found.scores >= SURE, 0.0)
    return int(size.argmax()) if (size > 0).any() else None


def largest(found: Faces) -> torch.Tensor | None:
    """The five points of the largest face that is beyond doubt.

    Args:
        found: From the finder.

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
    """Turns, scales and cuts a face to where the descriptor expects it.

    The similarity that brings the mean face closest to the points in the least-squares sense, as
    dlib does it: with points as complex numbers, a division.

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
