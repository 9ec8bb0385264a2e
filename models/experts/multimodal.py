"""``MME_X``: an expert on several aspects at once (paper, section II-C2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from streamer.models.experts.attention import MultimodalAttention
from streamer.models.experts.expert import Expert, Head, Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from streamer.models.experts.size import ExpertSize


class MultimodalExpert(Expert):
    """One BNet an aspect → ``d_std`` → attention with skips → Bi-LSTM → ``E_f`` → softmax.

    The first aspect leads: the expert is absent where it is. Others that are missing are left
    out of the attention, so that the leading one is judged alone *(choice)*.

    Args:
        dims: Aspect → length of its tokens, the leading aspect (place) first.
        size: Widths.
        reach: ``w_b``.
    """

    def __init__(self, dims: Mapping[str, int], size: ExpertSize, reach: int) -> None:
        super().__init__(dims, size, reach)
        self.standard = nn.ModuleDict(
            {name: nn.Linear(self.relation_width(name), size.standard) for name in self.aspects}
        )
        self.attention = MultimodalAttention(len(self.aspects), size.standard)
        self.head = Head(2 * len(self.aspects) * size.standard, size)

    def judge(self, relations: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Judgement:
        """See ``Expert.judge``."""
        modalities = torch.stack(
            [self.standard[name](relations[name]) for name in self.aspects], dim=-2
        )
        there = torch.stack([present[name] for name in self.aspects], dim=-1)
        fused = self.attention(modalities, there)
        judgement: Judgement = self.head(fused, present[self.aspects[0]])
        return judgement
