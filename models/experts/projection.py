"""Centring, rotation and scaling of tokens, fitted once on training movies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
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

    def fit(self, moments: Moments) -> None:
        """Sets mean, basis and scales.

        Each scale is the inverse square root of the component's deviation, damped by a
        hundredth of the mean variance: half-way between keeping and levelling the components,
        where distances of tokens tell scenes apart best. Together the components then have
        unit variance.

        Args:
            moments: Of training tokens, gathered for this projection.

        Raises:
            ValueError: No token was gathered.
        """
        mean, spread = moments.mean_and_spread()
        if self.basis is None:
            variance = np.maximum(spread, 0.0)
        else:
            values, vectors = np.linalg.eigh(spread)
            order = np.argsort(values)[::-1][: self.width]
            variance = np.maximum(values[order], 0.0)
            vectors = vectors[:, order]
            # The sign of an eigenvector is arbitrary; fixing it makes fits reproducible.
            largest = np.abs(vectors).argmax(axis=0)
            vectors = vectors * np.sign(vectors[largest, np.arange(self.width)])
            self.basis.copy_(torch.from_numpy(vectors))
        ridge = _RIDGE * float(variance.mean()) + 1e-12
        scale = (variance + ridge) ** -0.25
        scale /= np.sqrt((variance * scale**2).mean() + 1e-12)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))


class Moments:
    """First and second moments of tokens, gathered block by block in double precision.

    Args:
        projection: What will be fitted; without a basis the covariances are not needed.
    """

    def __init__(self, projection: Projection) -> None:
        dim = projection.dim
        self._full = projection.basis is not None
        self._count = 0
        self._sum = np.zeros(dim)
        self._square: NDArray[np.float64] = np.zeros((dim, dim) if self._full else dim)

    def add(self, tokens: NDArray[np.floating]) -> None:
        """Takes tokens.

        Args:
            tokens: ``(n, dim)``, n ≥ 0.
        """
        block = tokens.astype(np.float64)
        self._count += len(block)
        self._sum += block.sum(axis=0)
        self._square += block.T @ block if self._full else (block**2).sum(axis=0)

    def mean_and_spread(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean ``(dim,)`` and covariance ``(dim, dim)``, or variance ``(dim,)`` without basis.

        Raises:
            ValueError: No token was taken.
        """
        if not self._count:
            raise ValueError("a projection cannot be fitted on no tokens")
        mean = self._sum / self._count
        outer = np.outer(mean, mean) if self._full else mean**2
        return mean, self._square / self._count - outer
