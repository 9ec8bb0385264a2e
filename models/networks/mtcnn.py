"""MTCNN: finds faces and their eyes, noses and mouth corners.

Zhang et al. 2016 (arXiv:1604.02878): a small network proposes boxes at every scale, a second
refines them, a third settles them and finds five points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from streamer.models.networks.boxes import cut_out, inside, moved, squared, suppress

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
    """The cascade; what is found in a picture does not depend on others beside it.

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
        return self.find(picture[None])[0]

    def find_all(self, pictures: torch.Tensor) -> list[Faces]:
        """Finds the faces of several pictures: together on a GPU, one by one on a CPU.

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
        """Finds the faces of several pictures, each network of the cascade run once for all.

        Args:
            pictures: Float RGB 0 … 255.

        Returns:
            The faces of each.

        Shape:
            ``(n, 3, height, width)``
        """
        pictures = (pictures - 127.5) / 128.0
        proposed = [squared(boxes) for boxes in self._proposals(pictures)]
        refined = self._judged(pictures, proposed, self.refine, 24, _SURE[1])
        squares = [squared(boxes) for boxes, _, _ in refined]
        found = []
        for boxes, scores, points in self._judged(pictures, squares, self.finish, 48, _SURE[2]):
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
        """Box, score and corrections of every proposal at one scale, ``(n, 9)``, by picture."""
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

    def _judged(
        self,
        pictures: torch.Tensor,
        boxes: list[torch.Tensor],
        judge: _Judge,
        side: int,
        sure: float,
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Boxes, scores and points that a judge lets pass, by picture."""
        present, squares = [], []
        for picture, own in zip(pictures, boxes, strict=True):
            pixels = inside(own, *picture.shape[1:])
            there = (pixels[:, 2:] >= pixels[:, :2]).all(dim=1)
            present.append(own[there])
            squares.append(cut_out(picture, pixels[there], side))
        scores, corrections, points = judge(torch.cat(squares))
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
    """What a judge lets pass of one picture; overlapping boxes wait for points to be told apart."""
    passed = scores > sure
    boxes, scores, corrections = boxes[passed], scores[passed], corrections[passed]
    size = boxes[:, 2:] - boxes[:, :2] + 1
    # All x come before all y, as shares of the box.
    shares = points[passed].reshape(len(boxes), 2, points.shape[1] // 2).transpose(1, 2)
    placed = shares * size[:, None] + boxes[:, None, :2] - 1
    if not points.shape[1]:
        kept = suppress(boxes, scores, 0.7, most=_MOST)
        boxes, scores, corrections = boxes[kept], scores[kept], corrections[kept]
        placed = placed[kept]
    return moved(boxes, corrections, border=1), scores, placed
