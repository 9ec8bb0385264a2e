"""Batch the tokens of shots, project them and cut windows of shots around boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


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
        """Copy to another device."""
        return TokenBatch(self.tokens.to(device), self.lengths.to(device))

    def without(self, dropped: Tensor) -> TokenBatch:
        """Mark the aspect as absent in the shots ``dropped``, bool ``(S,)``."""
        return TokenBatch(self.tokens, self.lengths.masked_fill(dropped, 0))


def thinned(count: int, limit: int) -> NDArray[np.int64]:
    """Choose at most ``limit`` of ``count`` tokens, evenly spaced, first and last included.

    Args:
        count: Number of tokens.
        limit: Most tokens to keep, ≥ 1.

    Returns:
        Their indices, strictly increasing.

    Shape:
        ``(min(count, limit),)``
    """
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    if limit == 1:
        return np.array([count // 2], dtype=np.int64)
    return np.arange(limit, dtype=np.int64) * (count - 1) // (limit - 1)


def pad_tokens(
    shots: Sequence[NDArray[np.floating] | None], dim: int, limit: int, device: torch.device
) -> TokenBatch:
    """Pad variable numbers of tokens to one tensor.

    Args:
        shots: Per shot ``(n, dim)``, or None where the aspect is missing.
        dim: Length of a token.
        limit: Longer shots are thinned to this many tokens.
        device: Device of the result.

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


_LIMIT = 8.0
_RIDGE = 1e-2


class Projection(nn.Module):
    """Projection of an aspect's raw tokens for its experts *(choice: the paper has none)*.

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
        """Project tokens.

        Shape:
            ``(..., dim)`` → ``(..., width)``
        """
        centred = tokens - self.mean
        if self.basis is not None:
            centred = centred @ self.basis
        return (centred * self.scale).clamp(-_LIMIT, _LIMIT)

    def fit(self, moments: Moments) -> None:
        """Set mean, basis and scales from the moments of training tokens.

        Each scale is the inverse square root of the component's deviation, damped by a
        hundredth of the mean variance: half-way between keeping and whitening the components,
        where distances of tokens separate scenes best. The components together have unit
        variance.

        Args:
            moments: Gathered for this projection.

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
            # The sign of an eigenvector is arbitrary: fix it, so that fits are reproducible.
            largest = np.abs(vectors).argmax(axis=0)
            vectors = vectors * np.sign(vectors[largest, np.arange(self.width)])
            self.basis.copy_(torch.from_numpy(vectors))
        ridge = _RIDGE * float(variance.mean()) + 1e-12
        scale = (variance + ridge) ** -0.25
        scale /= np.sqrt((variance * scale**2).mean() + 1e-12)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))


class Moments:
    """First and second moments of tokens, accumulated in double precision.

    Args:
        projection: The projection to fit; without a basis only variances are kept.
    """

    def __init__(self, projection: Projection) -> None:
        dim = projection.dim
        self._full = projection.basis is not None
        self._count = 0
        self._sum = np.zeros(dim)
        self._square: NDArray[np.float64] = np.zeros((dim, dim) if self._full else dim)

    def add(self, tokens: NDArray[np.floating]) -> None:
        """Add tokens.

        Args:
            tokens: ``(n, dim)``, n ≥ 0.
        """
        block = tokens.astype(np.float64)
        self._count += len(block)
        self._sum += block.sum(axis=0)
        self._square += block.T @ block if self._full else (block**2).sum(axis=0)

    def mean_and_spread(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean ``(dim,)`` and the covariance ``(dim, dim)``, or variance ``(dim,)``.

        Raises:
            ValueError: No token was added.
        """
        if not self._count:
            raise ValueError("a projection cannot be fitted on no tokens")
        mean = self._sum / self._count
        outer = np.outer(mean, mean) if self._full else mean**2
        return mean, self._square / self._count - outer


def boundary_windows(vectors: Tensor, present: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Cut a run of shots into the windows of its boundaries.

    Args:
        vectors: Shot vectors ``(B, S, D)``.
        present: Whether each shot has the aspect, ``(B, S)``.
        reach: ``w_b``, shots on each side of a boundary.

    Returns:
        The windows, and whether both shots next to each boundary have the aspect.

    Shape:
        ``(B, S - 2*reach + 1, 2*reach, D)`` and ``(B, S - 2*reach + 1)``.
    """
    windows = vectors.unfold(1, 2 * reach, 1).movedim(-1, 2)
    around = present.unfold(1, 2 * reach, 1)
    return fill_missing(windows, around, reach), around[..., reach - 1] & around[..., reach]


def fill_missing(windows: Tensor, present: Tensor, reach: int) -> Tensor:
    """Replace absent outer shots by their inner neighbour, as the edges of a film are padded.

    This matters for boundaries whose two adjacent shots have the aspect; the values at other
    boundaries are undefined *(choice)*.

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
