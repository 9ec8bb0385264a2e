"""``HLSS_combine``: late fusion of unimodal experts by fixed weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from streamer.models.experts.expert import Expert, Head, Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from streamer.models.experts.size import ExpertSize

COMBINE_WEIGHTS: Final[Mapping[str, float]] = {
    "place": 0.5,
    "cast": 0.2,
    "action": 0.2,
    "stft": 0.1,
}
"""Weights of the base network's public code."""


class CombinedExpert(Expert):
    """One branch an aspect; *logits* are summed by fixed weights and judged together.

    Where an aspect is missing the weights of the others are scaled to one; where all are, the
    expert is absent *(choice)*.

    Args:
        dims: Aspect → length of its tokens.
        size: Widths.
        reach: ``w_b``.
        weights: Aspect → weight.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        size: ExpertSize,
        reach: int,
        weights: Mapping[str, float] = COMBINE_WEIGHTS,
    ) -> None:
        super().__init__(dims, size, reach)
        self.weights = {name: weights[name] for name in self.aspects}
        self.heads = nn.ModuleDict(
            {name: Head(self.relation_width(name), size) for name in self.aspects}
        )

    def judge(self, relations: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Judgement:
        """See ``Expert.judge``."""
        parts: list[Judgement] = [
            self.heads[name](relations[name], present[name]) for name in self.aspects
        ]
        there = torch.stack([part.present for part in parts], dim=-1)
        weights = there * there.new_tensor(list(self.weights.values()), dtype=torch.float32)
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        hidden = sum(
            w[..., None] * p.hidden for w, p in zip(weights.unbind(-1), parts, strict=True)
        )
        logits = sum(
            w[..., None] * p.logits for w, p in zip(weights.unbind(-1), parts, strict=True)
        )
        return Judgement(torch.as_tensor(hidden), torch.as_tensor(logits), there.any(dim=-1))
