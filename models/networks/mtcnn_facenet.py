"""MTCNN and FaceNet for the cast slot: whose face fills the picture, in 512 values.

Faces only, as with `mtcnn-dlib`, whose finder it shares. The descriptor loads the published layout;
numbers not verified against the released file.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import PictureInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.inception_resnet_v1 import DIM, SIDE, InceptionResnetV1
from streamer.models.networks.mtcnn import Faces, Mtcnn
from streamer.models.networks.mtcnn_dlib import HEIGHT, SMALLEST, WIDTH, largest_face

_MIDDLE, _SPAN = 127.5, 128.0


class MtcnnFacenet(nn.Module):
    """Pictures → the descriptor of the largest face, NaN where there is none.

    Shape:
        uint8 ``(batch, 3, 432, 768)`` → ``(batch, 512)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.finder = Mtcnn(SMALLEST)
        self.descriptor = InceptionResnetV1()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Describes the largest face of every picture."""
        tokens = torch.full((len(pictures), DIM), torch.nan, device=pictures.device)
        rows, faces = [], []
        pictures = pictures.float()
        found = self.finder.find_all(functional.avg_pool2d(pictures, 2))
        for row, (picture, faces_here) in enumerate(zip(pictures, found, strict=True)):
            box = largest_box(faces_here)
            face = None if box is None else cut_face(picture, box * 2)
            if face is not None:
                rows.append(row)
                faces.append(face)
        if faces:
            tokens[rows] = self.descriptor((torch.stack(faces) - _MIDDLE) / _SPAN)
        return tokens


def largest_box(found: Faces) -> torch.Tensor | None:
    """The box of the largest face that is beyond doubt.

    Args:
        found: From the finder.

    Returns:
        Left, top, right, bottom, or None when there is no such face.

    Shape:
        ``(4,)``
    """
    face = largest_face(found)
    return None if face is None else found.boxes[face]


def cut_face(picture: torch.Tensor, box: torch.Tensor) -> torch.Tensor | None:
    """Cuts a box out, within the picture, and brings it to the descriptor's size.

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
    # As the published pipeline does for tensors: averages, also where a face is enlarged.
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
