"""Standardising and whitening of tokens, fitted once on training movies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_LIMIT = 8.0
_RIDGE = 1e-2


class Projection(nn.Module):
    """Maps raw tokens to what the experts of an aspect see *(choice: the paper has none)*.

    Fixed once fitted. Values are clamped to ±8 standard deviations, so that a sound or picture
    unlike any in training cannot saturate the networks behind it.

    Args:
        dim: Length of a raw token.
        width: Principal components kept; 0 (or ≥ ``dim``) keeps every dimension apart.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor | None

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.dim = dim
        reduced = 0 < width < dim
        self.width = width if reduced else dim
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(self.width))
        self.register_buffer("basis", torch.zeros(dim, self.width) if reduced else None)

    def forward(self, tokens: Tensor) -> Tensor:
        """Projects tokens.

        Shape:
            ``(..., dim)`` → ``(..., width)``
        """
        centred = tokens - self.mean
        if self.basis is not None:
            centred = centred @ self.basis
        return (centred * self.scale).clamp(-_LIMIT, _LIMIT)

    def fit(self, pieces: Iterable[NDArray[np.floating]]) -> None:
        """Fits mean, basis and scales, in double precision and one pass over the data.

        Each scale is the inverse of the component's deviation, damped by a hundredth of the
        mean variance so that noise in the last components is not blown up.

        Args:
            pieces: Arrays ``(n, dim)``; together at least one token.
        """
        count = 0
        total = np.zeros(self.dim)
        square: NDArray[np.float64] = np.zeros(
            (self.dim, self.dim) if self.basis is not None else self.dim
        )
        for piece in pieces:
            block = piece.astype(np.float64)
            count += len(block)
            total += block.sum(axis=0)
            square += block.T @ block if self.basis is not None else (block**2).sum(axis=0)
        if count == 0:
            raise ValueError("a projection cannot be fitted on no tokens")
        mean = total / count
        if self.basis is None:
            variance = np.maximum(square / count - mean**2, 0.0)
        else:
            values, vectors = np.linalg.eigh(square / count - np.outer(mean, mean))
            order = np.argsort(values)[::-1][: self.width]
            variance = np.maximum(values[order], 0.0)
            vectors = vectors[:, order]
            # The sign of an eigenvector is arbitrary; fixing it makes fits reproducible.
            largest = np.abs(vectors).argmax(axis=0)
            vectors = vectors * np.sign(vectors[largest, np.arange(self.width)])
            self.basis.copy_(torch.from_numpy(vectors))
        ridge = _RIDGE * float(variance.mean()) + 1e-12
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(1.0 / np.sqrt(variance + ridge)))
