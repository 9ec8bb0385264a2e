"""Tokens of many shots as one padded tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Tokens of one aspect for ``S`` shots.

    Attributes:
        tokens: Float32 ``(S, T, dim)``; what lies past a shot's length is never read.
        lengths: Int64 ``(S,)``; 0 where the shot lacks the aspect.
    """

    tokens: Tensor
    lengths: Tensor

    @property
    def present(self) -> Tensor:
        """Bool ``(S,)``: shots that have the aspect."""
        return self.lengths > 0

    def to(self, device: torch.device) -> TokenBatch:
        """The same on another device."""
        return TokenBatch(self.tokens.to(device), self.lengths.to(device))

    def without(self, dropped: Tensor) -> TokenBatch:
        """The same with the aspect missing in some shots.

        Args:
            dropped: Bool ``(S,)``.
        """
        return TokenBatch(self.tokens, self.lengths.masked_fill(dropped, 0))


def thinned(count: int, limit: int) -> NDArray[np.int64]:
    """Indices of at most ``limit`` of ``count`` tokens, evenly spread, first and last included.

    Args:
        count: Tokens there are.
        limit: Tokens wanted at most, ≥ 1.

    Shape:
        ``(min(count, limit),)``, strictly increasing.
    """
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    if limit == 1:
        return np.array([count // 2], dtype=np.int64)
    return np.arange(limit, dtype=np.int64) * (count - 1) // (limit - 1)


def pad_tokens(
    shots: Sequence[NDArray[np.floating] | None], dim: int, limit: int, device: torch.device
) -> TokenBatch:
    """Pads variable numbers of tokens to one tensor.

    Args:
        shots: Per shot ``(n, dim)``, or None where the aspect is missing.
        dim: Length of a token.
        limit: Longer shots are thinned to this many tokens.
        device: Where the result lives.

    Shape:
        tokens ``(S, max(1, longest), dim)``, lengths ``(S,)``.
    """
    kept = [
        None if shot is None or len(shot) == 0 else shot[thinned(len(shot), limit)]
        for shot in shots
    ]
    longest = max((len(shot) for shot in kept if shot is not None), default=1)
    padded = np.zeros((len(kept), longest, dim), dtype=np.float32)
    lengths = np.zeros(len(kept), dtype=np.int64)
    for row, shot in enumerate(kept):
        if shot is not None:
            padded[row, : len(shot)] = shot
            lengths[row] = len(shot)
    return TokenBatch(torch.from_numpy(padded).to(device), torch.from_numpy(lengths).to(device))
