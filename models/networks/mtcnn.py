"""MTCNN: finds faces and their eyes, noses and mouth corners.

Zhang et al. 2016 (arXiv:1604.02878): a small network proposes boxes at every scale, a second
refines them, a third settles them and finds five points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from models.networks.boxes import cut_out, inside, moved, squared, suppress

_STRIDE, _CELL = 2, 12
_SHRINK = 0.709
_SURE = (0.6, 0.7, 0.7)
# Bounds on the work one picture can cause; faces in films stay far below.
_MOST_A_SCALE, _MOST = 512, 128


@dataclass(frozen=True, slots=True)
class Faces:
    """What was found in one picture, best first.

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
    """Whole pictures → a score and box corrections at every second pixel."""

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


class _Judge(nn.Module):
    """Cut-out squares → score, box corrections, and points where it has a head for them."""

    def __init__(self, features: nn.Sequential, flat: int, wide: int, *, points: bool) -> None:
        super().__init__()
        self.features = features
        self.dense = nn.Sequential(nn.Linear(flat, wide), nn.PReLU(wide))
        self.score = nn.Linear(wide, 2)
        self.box = nn.Linear(wide, 4)
        self.points = nn.Linear(wide, 10) if points else None

    def forward(self, squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # The released weights flatten width before height.
        x = self.dense(self.features(squares).permute(0, 3, 2, 1).flatten(1))
        points = self.points(x) if self.points is not None else x.new_zeros(len(x), 0)
        return self.score(x).softmax(dim=1)[:, 1], self.box(x), points


class Mtcnn(nn.Module):
    """The cascade, one picture at a time: what is found does not depend on a batch.

    Args:
        smallest: Side of the smallest face looked for, pixels, at least 12.
    """

    def __init__(self, smallest: int) -> None:
        super().__init__()
        self._smallest = smallest
        self.propose = _Proposals()
        self.refine = _Judge(
            nn.Sequential(
                *(nn.Conv2d(3, 28, 3), nn.PReLU(28), nn.MaxPool2d(3, 2, ceil_mode=True)),
                *(nn.Conv2d(28, 48, 3), nn.PReLU(48), nn.MaxPool2d(3, 2, ceil_mode=True)),
                *(nn.Conv2d(48, 64, 2), nn.PReLU(64)),
            ),
            576,
            128,
            points=False,
        )
        self.finish = _Judge(
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
        """Finds the faces of a picture.

        Args:
            picture: Float RGB 0 … 255.

        Returns:
            The faces.

        Shape:
            ``(3, height, width)``
        """
        picture = (picture - 127.5) / 128.0
        boxes = squared(self._proposals(picture))
        boxes, _, _ = self._judged(picture, boxes, self.refine, 24, _SURE[1])
        boxes = squared(boxes)
        boxes, scores, points = self._judged(picture, boxes, self.finish, 48, _SURE[2])
        kept = suppress(boxes, scores, 0.7, most=_MOST, of="smaller", border=1)
        return Faces(boxes[kept], scores[kept], points[kept])

    def _proposals(self, picture: torch.Tensor) -> torch.Tensor:
        found = [picture.new_zeros(0, 9)]
        scale = _CELL / self._smallest
        while min(picture.shape[1:]) * scale >= _CELL:
            here = self._proposals_at(picture, scale)
            found.append(here[suppress(here[:, :4], here[:, 4], 0.5, most=_MOST_A_SCALE)])
            scale *= _SHRINK
        rows = torch.cat(found)
        rows = rows[suppress(rows[:, :4], rows[:, 4], 0.7, most=_MOST_A_SCALE)][:_MOST]
        return moved(rows[:, :4], rows[:, 5:])

    def _proposals_at(self, picture: torch.Tensor, scale: float) -> torch.Tensor:
        """Box, score and corrections of every proposal at one scale, ``(n, 9)``."""
        size = [int(side * scale + 1) for side in picture.shape[1:]]
        scores, corrections = self.propose(functional.interpolate(picture[None], size, mode="area"))
        rows, columns = (scores[0] >= _SURE[0]).nonzero(as_tuple=True)
        corner = torch.stack([columns, rows], dim=1) * _STRIDE
        left_top = ((corner + 1) / scale).floor()
        right_bottom = ((corner + _CELL) / scale).floor()
        score = scores[0, rows, columns][:, None]
        return torch.cat([left_top, right_bottom, score, corrections[0, :, rows, columns].T], dim=1)

    def _judged(
        self, picture: torch.Tensor, boxes: torch.Tensor, judge: _Judge, side: int, sure: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pixels = inside(boxes, *picture.shape[1:])
        there = (pixels[:, 2:] >= pixels[:, :2]).all(dim=1)
        boxes = boxes[there]
        scores, corrections, points = judge(cut_out(picture, pixels[there], side))
        passed = scores > sure
        boxes, scores, corrections = boxes[passed], scores[passed], corrections[passed]
        size = boxes[:, 2:] - boxes[:, :2] + 1
        # All x come before all y, as shares of the box.
        shares = points[passed].unflatten(1, (2, -1)).transpose(1, 2)
        placed = shares * size[:, None] + boxes[:, None, :2] - 1
        if judge.points is None:
            kept = suppress(boxes, scores, 0.7, most=_MOST)
            boxes, scores, corrections = boxes[kept], scores[kept], corrections[kept]
            placed = placed[kept]
        return moved(boxes, corrections, border=1), scores, placed
