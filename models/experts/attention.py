"""Multimodal attention over the modalities of one boundary (paper, section II-C2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MultimodalAttention(nn.Module):
    """Each modality asks all modalities of the *same* boundary; originals are kept beside.

    One head, no biases; a query a modality, a key and a value a source modality,
    ``softmax(q·k / sqrt(d_std))`` over the modalities that are there.

    Args:
        modalities: ``M``.
        width: ``d_std``.
    """

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.scale = width**-0.5
        shape = (modalities, width, width)
        self.query = nn.Parameter(torch.empty(shape))
        self.key = nn.Parameter(torch.empty(shape))
        self.value = nn.Parameter(torch.empty(shape))
        for matrix in (self.query, self.key, self.value):
            for part in matrix:
                nn.init.xavier_uniform_(part)

    def attend(self, modalities: Tensor, present: Tensor) -> Tensor:
        """Attention of each modality to each modality.

        Args:
            modalities: ``(..., M, d_std)``.
            present: Bool ``(..., M)``; at least one of each row should be true.

        Returns:
            Rows of modalities that are there sum to one over those that are there; rows of
            absent ones are zero.

        Shape:
            ``(..., M, M)``, rows ask, columns answer.
        """
        query = torch.einsum("...md,mde->...me", modalities, self.query)
        key = torch.einsum("...md,mde->...me", modalities, self.key)
        scores = torch.matmul(query, key.transpose(-1, -2)) * self.scale
        # A finite floor: a row without any modality must give zeros below, not NaN.
        scores = scores.masked_fill(~present[..., None, :], torch.finfo(scores.dtype).min)
        pairs = present[..., :, None] & present[..., None, :]
        attention: Tensor = scores.softmax(dim=-1) * pairs
        return attention

    def forward(self, modalities: Tensor, present: Tensor) -> Tensor:
        """Fuses the modalities of each boundary.

        Args:
            modalities: ``(..., M, d_std)``.
            present: Bool ``(..., M)``.

        Returns:
            The attended vectors and the originals (skip), absent ones zero.

        Shape:
            ``(..., 2 * M * d_std)``
        """
        modalities = modalities * present[..., None]
        value = torch.einsum("...md,mde->...me", modalities, self.value)
        attended = torch.matmul(self.attend(modalities, present), value)
        return torch.cat((attended, modalities), dim=-2).flatten(-2)
