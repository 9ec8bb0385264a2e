"""Grid flow for the action slot: how the picture moves, cell by cell, without learned parameters.

A motion descriptor, not action recognition: it distinguishes a pan from a zoom, a still from a
shaky camera, and where in the frame something moves. Lucas & Kanade 1981 in twelve cells.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import ClipInput
from streamer.models.networks.base import Architecture

HEIGHT, WIDTH, FRAMES = 36, 64, 25
_ROWS, _COLUMNS = 3, 4
_QUANTITIES = 3
_FASTEST = 4.0
_STEP = _QUANTITIES * _ROWS * _COLUMNS
# Keeps the flow of cells without structure at zero; small against the squared gradient of an edge.
_DAMPING = 1.0


class GridFlow(nn.Module):
    """Clips → mean, deviation and mean change of the flow in 3 × 4 cells.

    From one picture to the next, each cell has a displacement to the right and one downwards
    (least squares over its pixels, in pixels of the 64 × 36 picture, ±4) and the logarithm of
    one plus the mean absolute change. Over the clip: the mean of these 36 values, their standard
    deviation, and the mean absolute difference from one step to the next. A step without any
    change is a repeated picture (telecine, animation on twos, padding) and is skipped; a clip of
    such steps only has zero motion.

    Shape:
        uint8 ``(batch, 25, 1, 36, 64)`` → ``(batch, 108)``
    """

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Embed clips."""
        pictures = clips[:, :, 0].float()
        change = pictures[:, 1:] - pictures[:, :-1]
        moving = (change != 0).any(3).any(2)
        steps = _flow(pictures, change)
        return torch.stack([_summary(row[kept]) for row, kept in zip(steps, moving, strict=True)])


def _flow(pictures: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Compute the flow of every step, ``(batch, steps, 36)``."""
    middle = (pictures[:, 1:] + pictures[:, :-1]) / 2
    across = (middle[..., 1:-1, 2:] - middle[..., 1:-1, :-2]) / 2
    down = (middle[..., 2:, 1:-1] - middle[..., :-2, 1:-1]) / 2
    change = change[..., 1:-1, 1:-1]
    xx, yy = _cells(across * across) + _DAMPING, _cells(down * down) + _DAMPING
    xy, xt, yt = _cells(across * down), _cells(across * change), _cells(down * change)
    # Positive: by Cauchy-Schwarz the products of the undamped means outweigh xy squared.
    determinant = xx * yy - xy * xy
    right = (xy * yt - yy * xt) / determinant
    below = (xy * xt - xx * yt) / determinant
    size = _cells(change.abs()).log1p()
    return torch.cat(
        [right.clamp(-_FASTEST, _FASTEST), below.clamp(-_FASTEST, _FASTEST), size], dim=-1
    )


def _cells(values: torch.Tensor) -> torch.Tensor:
    """Average over 3 × 4 cells, ``(batch, steps, 12)``."""
    return functional.adaptive_avg_pool2d(values, (_ROWS, _COLUMNS)).flatten(2)


def _summary(steps: torch.Tensor) -> torch.Tensor:
    """Compute the statistics over the kept steps, ``(108,)``."""
    if not len(steps):
        return steps.new_zeros(3 * _STEP)
    deviation, mean = torch.std_mean(steps, dim=0, correction=0)
    turns = steps.diff(dim=0).abs()
    return torch.cat([mean, deviation, turns.mean(0) if len(turns) else torch.zeros_like(mean)])


NETWORK = Architecture(
    name="grid-flow",
    slots=("action",),
    module=GridFlow,
    # Every picture up to 33 a second, every second one of 50 or 60: displacements stay small.
    input=ClipInput(HEIGHT, WIDTH, FRAMES, interval=Fraction(3, 100)),
    dim=3 * _STEP,
    max_rows=16,
    channels_last=False,
    weights=False,
)
