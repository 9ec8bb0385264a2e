"""``HLSS_X``: an expert on one aspect (paper, section II-C1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.models.experts.expert import Expert, Head, Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from streamer.models.experts.size import ExpertSize


class UnimodalExpert(Expert):
    """BNet → Bi-LSTM → ``E_f`` → softmax; absent wherever its aspect is.

    Args:
        aspect: What it listens to or looks at.
        dim: Length of its tokens.
        size: Widths.
        reach: ``w_b``.
    """

    def __init__(self, aspect: str, dim: int, size: ExpertSize, reach: int) -> None:
        super().__init__({aspect: dim}, size, reach)
        self.aspect = aspect
        self.head = Head(self.relation_width(aspect), size)

    def judge(self, relations: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Judgement:
        """See ``Expert.judge``."""
        judgement: Judgement = self.head(relations[self.aspect], present[self.aspect])
        return judgement
