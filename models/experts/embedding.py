"""LSTM shot embedding: a shot's tokens become one vector (paper, section II-B)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

if TYPE_CHECKING:
    from streamer.models.experts.tokens import TokenBatch

_SHARE = 0.3
_GAIN = 0.5
_GATES = (1.0, 1.0, 0.0, 2.0)
"""Biases of the input, forget, candidate and output gates to start from."""


class ShotEmbedding(nn.Module):
    """Final hidden state of an LSTM over the tokens of a shot.

    Args:
        dim: Length of a token.
        width: Length of the shot vector, ``D``.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.lstm = nn.LSTM(dim, width, batch_first=True)
        self._start_as_sum()

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embeds whole shots.

        Args:
            batch: Tokens ``(S, T, dim)`` and their numbers.

        Returns:
            Shot vectors; zero where the shot lacks the aspect.

        Shape:
            ``(S, D)``
        """
        # An empty sequence cannot be packed: it runs over one padding token and is zeroed below.
        packed = pack_padded_sequence(
            batch.tokens,
            batch.lengths.clamp_min(1).cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        _, (final, _) = self.lstm(packed)
        vectors: Tensor = final[0]
        return vectors.masked_fill(~batch.present[:, None], 0.0)

    def _start_as_sum(self) -> None:
        """Starts close to a fading sum of the tokens *(choice)*.

        Distances between tokens then survive from the first step on; a few hundred scenes are
        too little to find that again from random weights.
        """
        with torch.no_grad():
            into, back = self.lstm.weight_ih_l0, self.lstm.weight_hh_l0
            assert isinstance(into, Tensor)
            assert isinstance(back, Tensor)
            into.mul_(_SHARE)
            back.mul_(_SHARE)
            candidate = into[2 * self.width : 3 * self.width]
            diagonal = torch.arange(min(candidate.shape))
            candidate[diagonal, diagonal] += _GAIN
            for bias, start in ((self.lstm.bias_ih_l0, _GATES), (self.lstm.bias_hh_l0, (0.0,) * 4)):
                assert isinstance(bias, Tensor)
                bias.copy_(torch.tensor(start).repeat_interleave(self.width))
