"""Find faces and their eyes, noses and mouth corners with MTCNN.

Zhang et al. 2016 (arXiv:1604.02878): a small network proposes boxes at every scale, a second
refines them, a third decides and locates five points.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional


def suppress(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    limit: float,
    *,
    most: int,
    of: Literal["union", "smaller"] = "union",
    border: int = 0,
) -> torch.Tensor:
    """Apply greedy non-maximum suppression.

    Args:
        boxes: ``left, top, right, bottom``.
        scores: One a box; ties go to the box that comes first.
        limit: A box is dropped when it overlaps a kept one by more than this share.
        most: Best boxes considered; bounds the work.
        of: Whether ``limit`` is a share of the union, or of the smaller box's area.
        border: Added to widths and heights; 1 when right and bottom belong to the box.

    Returns:
        Indices of the kept boxes, best first.

    Shape:
        ``(n, 4)``, ``(n,)`` → ``(kept,)``
    """
    order = scores.sort(descending=True, stable=True).indices[:most]
    chosen = boxes[order]
    upper = torch.minimum(chosen[:, None, 2:], chosen[None, :, 2:])
    lower = torch.maximum(chosen[:, None, :2], chosen[None, :, :2])
    shared = (upper - lower + border).clamp_min(0).prod(dim=2)
    area = (chosen[:, 2:] - chosen[:, :2] + border).prod(dim=1)
    if of == "union":
        whole = area[:, None] + area[None, :] - shared
    else:
        whole = torch.minimum(area[:, None], area[None, :])
    conflicts = (shared > limit * whole).tolist()
    kept: list[int] = []
    for index, row in enumerate(conflicts):
        if not any(row[better] for better in kept):
            kept.append(index)
    return order[kept]


def squared(boxes: torch.Tensor) -> torch.Tensor:
    """Expand boxes to squares around the same centres.

    Args:
        boxes: ``left, top, right, bottom``.

    Returns:
        Squares.

    Shape:
        ``(n, 4)`` → ``(n, 4)``
    """
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + size * 0.5 - side * 0.5
    return torch.cat([corner, corner + side], dim=1)


def moved(boxes: torch.Tensor, by: torch.Tensor, border: int = 0) -> torch.Tensor:
    """Move the sides of boxes by shares of their widths and heights.

    Args:
        boxes: ``left, top, right, bottom``.
        by: Share for each side.
        border: As for `suppress`.

    Returns:
        The moved boxes.

    Shape:
        ``(n, 4)``, ``(n, 4)`` → ``(n, 4)``
    """
    size = boxes[:, 2:] - boxes[:, :2] + border
    return boxes + by * size.repeat(1, 2)


def inside(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Round boxes to the pixels they cover, counted from 1, right and bottom included.

    Args:
        boxes: ``left, top, right, bottom``.
        height: Height of the picture.
        width: Width of the picture.

    Returns:
        Int64 boxes cut at the picture's edges; some may be empty.

    Shape:
        ``(n, 4)`` → ``(n, 4)``
    """
    whole = boxes.trunc().long()
    whole[:, :2].clamp_(min=1)
    whole[:, 2].clamp_(max=width)
    whole[:, 3].clamp_(max=height)
    return whole


def cut_out(picture: torch.Tensor, pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Cut out parts of a picture, each scaled to a square by area averages.

    Args:
        picture: Float.
        pixels: From `inside`, none of them empty.
        side: Side of the squares.

    Returns:
        The parts.

    Shape:
        ``(3, height, width)``, ``(n, 4)`` → ``(n, 3, side, side)``
    """
    parts = [
        functional.interpolate(
            picture[None, :, top - 1 : bottom, left - 1 : right], (side, side), mode="area"
        )
        for left, top, right, bottom in pixels.tolist()
    ]
    return torch.cat(parts) if parts else picture.new_zeros(0, 3, side, side)


HEIGHT, WIDTH = 432, 768
"""Size of the pictures in which the largest face is looked for."""
SMALLEST = 24
"""Side of the smallest face, in the picture of half that size."""
SURE = 0.95
"""Least score of a face that is described."""

_STRIDE, _CELL = 2, 12
_SHRINK = 0.709
_SURE = (0.6, 0.7, 0.7)
# Bound the work for one picture; faces in films stay far below.
_MOST_A_SCALE, _MOST = 512, 128


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces found in one picture, best first.

    Attributes:
        boxes: Float ``(n, 4)``, left, top, right, bottom in pixels.
        scores: Float ``(n,)``, 0.7 to 1.
        points: Float ``(n, 5, 2)``, x and y of left eye, right eye, nose, left and right corner of
            the mouth, as seen.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    points: torch.Tensor


class _Proposals(nn.Module):
    """First stage: whole pictures → a score and box corrections at every second pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 10, 3),
            nn.PReLU(10),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(10, 16, 3),
            nn.PReLU(16),
            nn.Conv2d(16, 32, 3),
            nn.PReLU(32),
        )
        self.score = nn.Conv2d(32, 2, 1)
        self.box = nn.Conv2d(32, 4, 1)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.features(picture)
        return self.score(x).softmax(dim=1)[:, 1], self.box(x)


class _Stage(nn.Module):
    """Later stage: cut-out squares → score, box corrections, and points from the last stage."""

    def __init__(self, features: nn.Sequential, flat: int, wide: int, *, points: bool) -> None:
        super().__init__()
        self.features = features
        self.dense = nn.Sequential(nn.Linear(flat, wide), nn.PReLU(wide))
        self.score = nn.Linear(wide, 2)
        self.box = nn.Linear(wide, 4)
        self.points = nn.Linear(wide, 10) if points else None

    def forward(self, squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # The released weights expect width to be flattened before height.
        x = self.dense(self.features(squares).permute(0, 3, 2, 1).flatten(1))
        points = self.points(x) if self.points is not None else x.new_zeros(len(x), 0)
        return self.score(x).softmax(dim=1)[:, 1], self.box(x), points


class Mtcnn(nn.Module):
    """The cascade of three networks; pictures of a batch are independent.

    Args:
        smallest: Side of the smallest face to find, pixels, at least 12.
    """

    def __init__(self, smallest: int) -> None:
        super().__init__()
        self._smallest = smallest
        self.propose = _Proposals()
        self.refine = _Stage(
            nn.Sequential(
                *(nn.Conv2d(3, 28, 3), nn.PReLU(28), nn.MaxPool2d(3, 2, ceil_mode=True)),
                *(nn.Conv2d(28, 48, 3), nn.PReLU(48), nn.MaxPool2d(3, 2, ceil_mode=True)),
                *(nn.Conv2d(48, 64, 2), nn.PReLU(64)),
            ),
            576,
            128,
            points=False,
        )
        self.finish = _Stage(
            nn.Sequential(
                *(nn.Conv2d(3, 32, 3), nn.PReLU(32), nn.MaxPool2d(3, 2, ceil_mode=True)),
                *(nn.Conv2d(32, 64, 3), nn.PReLU(64), nn.MaxPool2d(3, 2, ceil_mode=True)),
                *(nn.Conv2d(64, 64, 3), nn.PReLU(64), nn.MaxPool2d(2, 2, ceil_mode=True)),
                *(nn.Conv2d(64, 128, 2), nn.PReLU(128)),
            ),
            1152,
            256,
            points=True,
        )

    def forward(self, picture: torch.Tensor) -> Faces:
        """Find the faces of a picture.

        Args:
            picture: Float RGB 0 … 255.

        Shape:
            ``(3, height, width)``
        """
        return self.find(picture[None])[0]

    def find_all(self, pictures: torch.Tensor) -> list[Faces]:
        """Find the faces of several pictures: in one batch on a GPU, one by one on a CPU.

        Args:
            pictures: Float RGB 0 … 255.

        Returns:
            The faces of each.

        Shape:
            ``(n, 3, height, width)``
        """
        if pictures.is_cuda:
            return self.find(pictures)
        return [self(picture) for picture in pictures]

    def find(self, pictures: torch.Tensor) -> list[Faces]:
        """Find the faces of several pictures, running each network of the cascade once.

        Args:
            pictures: Float RGB 0 … 255.

        Returns:
            The faces of each.

        Shape:
            ``(n, 3, height, width)``
        """
        pictures = (pictures - 127.5) / 128.0
        proposed = [squared(boxes) for boxes in self._proposals(pictures)]
        refined = self._run_stage(pictures, proposed, self.refine, 24, _SURE[1])
        squares = [squared(boxes) for boxes, _, _ in refined]
        found = []
        for boxes, scores, points in self._run_stage(pictures, squares, self.finish, 48, _SURE[2]):
            kept = suppress(boxes, scores, 0.7, most=_MOST, of="smaller", border=1)
            found.append(Faces(boxes[kept], scores[kept], points[kept]))
        return found

    def _proposals(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        found = [[pictures.new_zeros(0, 9)] for _ in pictures]
        scale = _CELL / self._smallest
        while min(pictures.shape[2:]) * scale >= _CELL:
            for own, here in zip(found, self._proposals_at(pictures, scale), strict=True):
                own.append(here[suppress(here[:, :4], here[:, 4], 0.5, most=_MOST_A_SCALE)])
            scale *= _SHRINK
        boxes = []
        for own in found:
            rows = torch.cat(own)
            rows = rows[suppress(rows[:, :4], rows[:, 4], 0.7, most=_MOST_A_SCALE)][:_MOST]
            boxes.append(moved(rows[:, :4], rows[:, 5:]))
        return boxes

    def _proposals_at(self, pictures: torch.Tensor, scale: float) -> list[torch.Tensor]:
        """Return box, score and corrections of the proposals at one scale, by picture."""
        size = [int(side * scale + 1) for side in pictures.shape[2:]]
        scores, corrections = self.propose(functional.interpolate(pictures, size, mode="area"))
        found = []
        for score, correction in zip(scores, corrections, strict=True):
            rows, columns = (score >= _SURE[0]).nonzero(as_tuple=True)
            corner = torch.stack([columns, rows], dim=1) * _STRIDE
            left_top = ((corner + 1) / scale).floor()
            right_bottom = ((corner + _CELL) / scale).floor()
            own = [score[rows, columns][:, None], correction[:, rows, columns].T]
            found.append(torch.cat([left_top, right_bottom, *own], dim=1))
        return found

    def _run_stage(
        self,
        pictures: torch.Tensor,
        boxes: list[torch.Tensor],
        stage: _Stage,
        side: int,
        sure: float,
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Return the boxes, scores and points that a stage accepts, by picture."""
        present, squares = [], []
        for picture, own in zip(pictures, boxes, strict=True):
            pixels = inside(own, *picture.shape[1:])
            there = (pixels[:, 2:] >= pixels[:, :2]).all(dim=1)
            present.append(own[there])
            squares.append(cut_out(picture, pixels[there], side))
        scores, corrections, points = stage(torch.cat(squares))
        passed, begin = [], 0
        for own in present:
            rows = slice(begin, begin + len(own))
            passed.append(_passed(own, scores[rows], corrections[rows], points[rows], sure))
            begin += len(own)
        return passed


def _passed(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    corrections: torch.Tensor,
    points: torch.Tensor,
    sure: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Select the accepted boxes of one picture; the last stage suppresses overlaps later."""
    passed = scores > sure
    boxes, scores, corrections = boxes[passed], scores[passed], corrections[passed]
    size = boxes[:, 2:] - boxes[:, :2] + 1
    # All x precede all y, as shares of the box.
    shares = points[passed].reshape(len(boxes), 2, points.shape[1] // 2).transpose(1, 2)
    placed = shares * size[:, None] + boxes[:, None, :2] - 1
    if not points.shape[1]:
        kept = suppress(boxes, scores, 0.7, most=_MOST)
        boxes, scores, corrections = boxes[kept], scores[kept], corrections[kept]
        placed = placed[kept]
    return moved(boxes, corrections, border=1), scores, placed


class LargestFace(nn.Module, ABC):
    """Picture → descriptor of its largest face, NaN where no face is found.

    People seen from behind or from afar give no token.

    Args:
        descriptor: Faces → ``(n, dim)``.
        dim: Length of a token.

    Shape:
        uint8 ``(batch, 3, 432, 768)`` → ``(batch, dim)``
    """

    def __init__(self, descriptor: nn.Module, dim: int) -> None:
        super().__init__()
        self.finder = Mtcnn(SMALLEST)
        self.descriptor = descriptor
        self._dim = dim

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Describe the largest face of every picture."""
        tokens = torch.full((len(pictures), self._dim), torch.nan, device=pictures.device)
        rows, faces = [], []
        pictures = pictures.float()
        found = self.finder.find_all(functional.avg_pool2d(pictures, 2))
        for row, (picture, here) in enumerate(zip(pictures, found, strict=True)):
            face = self.cut(picture, here)
            if face is not None:
                rows.append(row)
                faces.append(face)
        if faces:
            tokens[rows] = self.descriptor(torch.stack(faces))
        return tokens

    @abstractmethod
    def cut(self, picture: torch.Tensor, found: Faces) -> torch.Tensor | None:
        """Cut the largest face out of a picture, in the descriptor's format.

        Args:
            picture: Float RGB ``(3, height, width)``.
            found: Faces found in it at half its size.

        Returns:
            The face; None where there is none.
        """


def largest_face(found: Faces) -> int | None:
    """Return the index of the largest certain face, or None where there is none."""
    size = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(dim=1)
    size = size.where(found.scores >= SURE, 0.0)
    return int(size.argmax()) if (size > 0).any() else None
