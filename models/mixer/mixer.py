"""The mixer: weights of the experts, boundary by boundary (paper, section II-C3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from streamer.models.experts.size import MixerSize


class Mixer(nn.Module):
    """Bi-LSTM and dense layers over the hidden embeddings of all experts.

    Args:
        experts: ``N_E``.
        hidden: Length of ``E_f``.
        size: Widths.
    """

    def __init__(self, experts: int, hidden: int, size: MixerSize) -> None:
        super().__init__()
        self.dropout = nn.Dropout(size.dropout)
        self.lstm = nn.LSTM(
            experts * hidden, size.recurrent, batch_first=True, bidirectional=size.bidirectional
        )
        self.dense = nn.Linear(size.recurrent * (2 if size.bidirectional else 1), size.dense)
        self.out = nn.Linear(size.dense, experts)

    def forward(self, hidden: Tensor, present: Tensor) -> Tensor:
        """Weighs the experts.

        Args:
            hidden: ``E_f`` of every expert, ``(B, L, E, hidden)``, zero where absent.
            present: Bool ``(B, L, E)``.

        Returns:
            Weights that sum to one over the experts that are there; zero for the others, and
            everywhere where none is there.

        Shape:
            ``(B, L, E)``
        """
        states, _ = self.lstm(self.dropout(hidden.flatten(2)))
        scores = self.out(self.dense(states).relu())
        return masked_softmax(scores, present)


def masked_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over what is there; zeros where nothing is.

    Shape:
        ``(..., E)``, ``(..., E)`` → ``(..., E)``
    """
    floor = torch.finfo(scores.dtype).min
    return scores.masked_fill(~present, floor).softmax(dim=-1) * present


def renormalise(weights: Tensor, dropped: Tensor) -> Tensor:
    """Sets weights to zero and scales the others to sum to one again *(choice)*.

    Args:
        weights: ``(..., E)``.
        dropped: Bool, broadcastable to ``weights``.

    Returns:
        The weights; unchanged where nothing of weight would remain.

    Shape:
        ``(..., E)``
    """
    kept = weights.masked_fill(dropped, 0.0)
    total = kept.sum(dim=-1, keepdim=True)
    usable = total > 1e-12
    return torch.where(usable, kept / torch.where(usable, total, 1.0), weights)
