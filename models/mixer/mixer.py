"""Weigh the experts of a mixture: the mixer, masking and the constraints on its weights."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from streamer.models.experts.expert import Width


class MixerSize(BaseModel):
    """Widths of the mixer *(choice: the paper gives none)*.

    Attributes:
        recurrent: Hidden state of the LSTM over boundaries, each direction.
        dense: Units between the LSTM and the weights.
        bidirectional: Whether the LSTM also runs backwards over its window.
        dropout: Rate on the experts' hidden embeddings while training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recurrent: Width = 32
    dense: Width = 64
    bidirectional: bool = True
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)


class Mixer(nn.Module):
    """Bi-LSTM and dense layers over the hidden embeddings of all experts (paper, section II-C3).

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
        """Weigh the experts.

        Args:
            hidden: ``E_f`` of every expert, ``(B, L, E, hidden)``, zero where absent.
            present: Bool ``(B, L, E)``.

        Returns:
            Weights that sum to one over the experts present; zero for the others, and
            everywhere where none is present.

        Shape:
            ``(B, L, E)``
        """
        states, _ = self.lstm(self.dropout(hidden.flatten(2)))
        scores = self.out(self.dense(states).relu())
        return masked_softmax(scores, present)


def masked_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Take the softmax over the present entries; zeros where none is present.

    Shape:
        ``(..., E)``, ``(..., E)`` → ``(..., E)``
    """
    floor = torch.finfo(scores.dtype).min
    return scores.masked_fill(~present, floor).softmax(dim=-1) * present


def renormalise(weights: Tensor, dropped: Tensor) -> Tensor:
    """Set weights to zero and scale the others to sum to one again *(choice)*.

    Args:
        weights: ``(..., E)``.
        dropped: Bool, broadcastable to ``weights``.

    Returns:
        The weights; unchanged where no weight would remain.

    Shape:
        ``(..., E)``
    """
    kept = weights.masked_fill(dropped, 0.0)
    total = kept.sum(dim=-1, keepdim=True)
    usable = total > 1e-12
    return torch.where(usable, kept / torch.where(usable, total, 1.0), weights)


def consecutive_scores(
    probability: Tensor, present: Tensor, threshold: float = 0.5, shortest: int = 2
) -> Tensor:
    """Sum each expert's probabilities over runs of consecutive predicted boundaries.

    See the paper, section II-C3: experts that see boundaries everywhere score high.

    Args:
        probability: ``(B, L, E)``.
        present: Bool ``(B, L, E)``; an absent position ends a run.
        threshold: A boundary is predicted above this probability.
        shortest: Shortest run that counts; 2, as one boundary is not consecutive *(choice)*.

    Shape:
        ``(B, E)``
    """
    predicted = (probability > threshold) & present
    length = predicted.shape[1]
    # run[t] counts the predicted boundaries of the run that ends at t.
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
    """Choose the experts to mask in each sequence.

    ``K`` shrinks in proportion to the experts present, so that some always remain, and an
    expert without consecutive boundaries is never masked *(choices)*.

    Args:
        scores: Consecutive scores, ``(B, E)``.
        present: Bool ``(B, E)``: the expert is present somewhere in the sequence.
        highest: ``K`` of ``E``.

    Returns:
        Bool, true where the expert gets weight zero. Of equal scores the first expert's ranks
        higher.

    Shape:
        ``(B, E)``
    """
    experts = scores.shape[-1]
    allowed = present.sum(dim=-1) * highest // experts
    order = scores.masked_fill(~present, -1.0).argsort(dim=-1, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank.scatter_(-1, order, torch.arange(experts, device=order.device).expand_as(order))
    return (rank < allowed[:, None]) & (scores > 0) & present


def spread(values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Compute standard deviation and range over the experts present.

    The deviation is the population's (divided by ``N_E``, not ``N_E - 1``), so that it is
    defined for a single expert *(choice)*.

    Args:
        values: ``(..., E)``.
        present: Bool ``(..., E)``.

    Shape:
        Each ``(...)``; 0 where no expert is present.
    """
    count = present.sum(dim=-1).clamp_min(1)
    mean = (values * present).sum(dim=-1) / count
    variance = (((values - mean[..., None]) ** 2) * present).sum(dim=-1) / count
    # The square root has no derivative at zero: equal values must give gradient 0, not NaN.
    positive = variance > 0
    deviation = torch.where(positive, variance, 1.0).sqrt() * positive
    high = values.masked_fill(~present, -torch.inf).amax(dim=-1)
    low = values.masked_fill(~present, torch.inf).amin(dim=-1)
    extent = torch.where(present.any(dim=-1), high - low, 0.0)
    return deviation, extent


def _squash(scaled: Tensor) -> Tensor:
    return 1.0 - 1.0 / (1.0 + torch.tanh(scaled))


def variance_constraint(weights: Tensor, present: Tensor, alpha: float) -> Tensor:
    """Compute ``D_var = 1 - 1 / (1 + tanh(alpha * R * std(w_i)))``, ``R`` the range of weights.

    Implemented as printed (paper, section II-C3): minimising the loss *lowers* the spread it
    measures, although the prose speaks of maximising the standard deviation.

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
    """Compute ``D_conf``: as ``D_var``, of ``w_i * |p_i0 - p_i1| * beta`` instead of ``w_i``.

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
