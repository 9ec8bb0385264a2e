"""Regularisers of the mixer's weights (paper, section II-C3).

The formulas are implemented as printed. Note that, as printed, minimising the loss *lowers* the
spread they measure, although the prose speaks of maximising the standard deviation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def spread(values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation and range over the experts that are there.

    The deviation is the population's (divided by ``N_E``, not ``N_E - 1``), so that it is
    defined for a single expert *(choice)*.

    Args:
        values: ``(..., E)``.
        present: Bool ``(..., E)``.

    Shape:
        Each ``(...)``; 0 where no expert is there.
    """
    count = present.sum(dim=-1).clamp_min(1)
    mean = (values * present).sum(dim=-1) / count
    variance = (((values - mean[..., None]) ** 2) * present).sum(dim=-1) / count
    # The square root has no slope at zero: equal values must give a gradient of 0, not NaN.
    positive = variance > 0
    deviation = torch.where(positive, variance, 1.0).sqrt() * positive
    high = values.masked_fill(~present, -torch.inf).amax(dim=-1)
    low = values.masked_fill(~present, torch.inf).amin(dim=-1)
    extent = torch.where(present.any(dim=-1), high - low, 0.0)
    return deviation, extent


def _squash(scaled: Tensor) -> Tensor:
    return 1.0 - 1.0 / (1.0 + torch.tanh(scaled))


def variance_constraint(weights: Tensor, present: Tensor, alpha: float) -> Tensor:
    """``D_var = 1 - 1 / (1 + tanh(alpha * R * std(w_i)))``, ``R`` the range of the weights.

    Args:
        weights: ``w_i``, ``(..., E)``.
        present: Bool ``(..., E)``.
        alpha: Scale, from {0.1, 1, 10}.

    Shape:
        ``(...)``, within [0, 0.5).
    """
    deviation, extent = spread(weights, present)
    return _squash(alpha * extent * deviation)


def confidence_constraint(
    weights: Tensor, probability: Tensor, present: Tensor, alpha: float, beta: float
) -> Tensor:
    """``D_conf``: as ``D_var``, of ``w_i * |p_i0 - p_i1| * beta`` instead of ``w_i``.

    Args:
        weights: ``w_i``, ``(..., E)``.
        probability: ``p_i1``, the experts' probabilities of a boundary, ``(..., E)``.
        present: Bool ``(..., E)``.
        alpha: Scale, from {0.1, 1, 10}.
        beta: Scale, 10.

    Shape:
        ``(...)``, within [0, 0.5).
    """
    margin = (1.0 - 2.0 * probability).abs()
    deviation, extent = spread(weights * margin * beta, present)
    return _squash(alpha * extent * deviation)
