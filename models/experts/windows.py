"""Windows of ``2*w_b`` shots around every boundary, with absent shots healed."""

from __future__ import annotations

import torch
from torch import Tensor


def boundary_windows(vectors: Tensor, present: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Cuts a run of shots into the windows of its boundaries.

    Args:
        vectors: Shot vectors ``(B, S, D)``.
        present: Whether each shot has the aspect, ``(B, S)``.
        reach: ``w_b``, shots on each side of a boundary.

    Returns:
        The windows, and whether the aspect is there on both sides of each boundary.

    Shape:
        ``(B, S - 2*reach + 1, 2*reach, D)`` and ``(B, S - 2*reach + 1)``.
    """
    windows = vectors.unfold(1, 2 * reach, 1).movedim(-1, 2)
    there = present.unfold(1, 2 * reach, 1)
    return heal(windows, there, reach), there[..., reach - 1] & there[..., reach]


def heal(windows: Tensor, present: Tensor, reach: int) -> Tensor:
    """Replaces absent outer shots by their inner neighbour, as the edges of a film are padded.

    A boundary whose two adjacent shots have the aspect is thereby described by what is there;
    the value at other boundaries has no meaning *(choice)*.

    Args:
        windows: ``(..., 2*reach, D)``.
        present: ``(..., 2*reach)``.
        reach: ``w_b``.

    Shape:
        As ``windows``.
    """
    columns = list(windows.unbind(-2))
    for index in range(reach - 2, -1, -1):
        columns[index] = torch.where(present[..., index, None], columns[index], columns[index + 1])
    for index in range(reach + 1, 2 * reach):
        columns[index] = torch.where(present[..., index, None], columns[index], columns[index - 1])
    return torch.stack(columns, dim=-2)
