"""The weighted cross entropy of experts and mixture."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

_FLOOR = 1e-7


def expert_loss(logits: Tensor, labels: Tensor, counted: Tensor, class_weight: float) -> Tensor:
    """Cross entropy of an expert, scene boundaries weighing more (paper, section III-A).

    Args:
        logits: ``(B, L, 2)``.
        labels: 0 or 1, ``(B, L)``.
        counted: Bool ``(B, L)``: neither padding nor without the expert.
        class_weight: Of a scene boundary, 1 for others.

    Returns:
        Weighted mean over what is counted; 0 when nothing is.
    """
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return weighted_mean(each.reshape(labels.shape), labels, counted, class_weight)


def mixture_loss(
    score: Tensor, labels: Tensor, counted: Tensor, class_weight: float, regulariser: Tensor
) -> Tensor:
    """``Loss_ce * (1 + D_reg)`` of the mixed probability (paper, section II-C3).

    The product is taken boundary by boundary before the mean *(choice)*.

    Args:
        score: Probability of a boundary, ``(B, L)``.
        labels: 0 or 1, ``(B, L)``.
        counted: Bool ``(B, L)``.
        class_weight: Of a scene boundary, 1 for others.
        regulariser: ``D_reg``, ``(B, L)``.
    """
    clipped = score.clamp(_FLOOR, 1.0 - _FLOOR)
    each = F.binary_cross_entropy(clipped, labels.to(clipped.dtype), reduction="none")
    return weighted_mean(each * (1.0 + regulariser), labels, counted, class_weight)


def weighted_mean(each: Tensor, labels: Tensor, counted: Tensor, class_weight: float) -> Tensor:
    """Mean over what is counted, with the weights of the classes.

    Args:
        each: ``(B, L)``.
        labels: 0 or 1, ``(B, L)``.
        counted: Bool ``(B, L)``.
        class_weight: Of label 1.
    """
    weights = (1.0 + (class_weight - 1.0) * labels) * counted
    return (each * weights).sum() / weights.sum().clamp_min(_FLOOR)
