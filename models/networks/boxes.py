"""Boxes in a picture: choosing among overlapping ones, squaring, cutting out."""

from __future__ import annotations

from typing import Literal

import torch
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
    """Greedy non-maximum suppression.

    Args:
        boxes: ``left, top, right, bottom``.
        scores: One a box; ties go to the box that comes first.
        limit: A box is dropped when it overlaps a kept one by more than this share.
        most: Boxes looked at, the best ones; bounds the work.
        of: Share of the two boxes' union, or of the smaller one's area.
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
    """The squares around the same centres that hold the boxes' longer side.

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
    """Boxes whose sides are moved by shares of their widths and heights.

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
    """Whole pixels of a picture that boxes cover, counted from 1, right and bottom included.

    Args:
        boxes: ``left, top, right, bottom``.
        height: Of the picture.
        width: Of the picture.

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
    """Parts of a picture, each averaged or stretched to a square.

    Args:
        picture: Float.
        pixels: From `inside`, none of them empty.
        side: Of the squares.

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
