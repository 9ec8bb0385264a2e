"""Masking of experts that see boundaries everywhere (paper, section II-C3)."""

from __future__ import annotations

import torch
from torch import Tensor


def consecutive_scores(
    probability: Tensor, present: Tensor, threshold: float = 0.5, shortest: int = 2
) -> Tensor:
    """Sums each expert's probabilities over runs of consecutive predicted boundaries.

    Args:
        probability: ``(B, L, E)``.
        present: Bool ``(B, L, E)``; an absent position ends a run.
        threshold: A boundary is predicted above this probability.
        shortest: Runs shorter than this do not count; 2, for one boundary is not consecutive
            *(choice)*.

    Shape:
        ``(B, E)``
    """
    predicted = (probability > threshold) & present
    length = predicted.shape[1]
    # forward[t] counts the predicted boundaries of the run that ends at t.
    run = torch.zeros_like(probability)
    count = torch.zeros_like(probability[:, 0])
    for position in range(length):
        count = (count + 1) * predicted[:, position]
        run[:, position] = count
    for position in range(length - 2, -1, -1):
        joined = predicted[:, position] & predicted[:, position + 1]
        run[:, position] = torch.where(joined, run[:, position + 1], run[:, position])
    counted: Tensor = (probability * (run >= shortest)).sum(dim=1)
    return counted


def masked_experts(scores: Tensor, present: Tensor, highest: int) -> Tensor:
    """Chooses the experts to mask in each sequence.

    ``K`` shrinks in proportion to the experts that are there, so that some always remain, and
    an expert without consecutive boundaries is never masked *(choices)*.

    Args:
        scores: Consecutive scores, ``(B, E)``.
        present: Bool ``(B, E)``: the expert is there somewhere in the sequence.
        highest: ``K`` of ``E``.

    Returns:
        Bool, true where the expert gets weight zero. Of equal scores the first expert's counts
        as the higher one.

    Shape:
        ``(B, E)``
    """
    experts = scores.shape[-1]
    allowed = present.sum(dim=-1) * highest // experts
    order = scores.masked_fill(~present, -1.0).argsort(dim=-1, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank.scatter_(-1, order, torch.arange(experts, device=order.device).expand_as(order))
    return (rank < allowed[:, None]) & (scores > 0) & present
