"""What every expert can do, and the head that the experts share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from streamer.models.experts.bnet import BNet
from streamer.models.experts.embedding import ShotEmbedding
from streamer.models.experts.spectrogram import SPECTROGRAM_DIM, SpectrogramEmbedding
from streamer.models.experts.windows import boundary_windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.models.experts.size import ExpertSize
    from streamer.models.experts.tokens import TokenBatch


@dataclass(frozen=True, slots=True)
class Judgement:
    """An expert's view of ``B`` sequences of ``L`` boundaries.

    Attributes:
        hidden: ``E_f``, ``(B, L, hidden)``; zero where the expert is absent.
        logits: ``(B, L, 2)``, {not a boundary, boundary}; without meaning where absent.
        present: Bool ``(B, L)``.
    """

    hidden: Tensor
    logits: Tensor
    present: Tensor

    @property
    def probability(self) -> Tensor:
        """Probability of a boundary, ``(B, L)``; 0 where the expert is absent."""
        return self.logits.softmax(dim=-1)[..., 1].masked_fill(~self.present, 0.0)


class Head(nn.Module):
    """(Bi-)LSTM over the boundaries of a sequence, then ``E_f``, then two logits.

    Args:
        width: Length of one boundary's representation.
        size: Widths.
    """

    def __init__(self, width: int, size: ExpertSize) -> None:
        super().__init__()
        self.dropout = nn.Dropout(size.dropout)
        self.lstm = nn.LSTM(
            width, size.recurrent, batch_first=True, bidirectional=size.bidirectional
        )
        self.hidden = nn.Linear(size.recurrent * (2 if size.bidirectional else 1), size.hidden)
        self.out = nn.Linear(size.hidden, 2)

    def forward(self, relations: Tensor, present: Tensor) -> Judgement:
        """Judges every position.

        Args:
            relations: ``(B, L, width)``.
            present: Bool ``(B, L)``; the LSTM sees zeros at absent positions.
        """
        states, _ = self.lstm(self.dropout(relations) * present[..., None])
        hidden = self.hidden(states).relu()
        logits = self.out(self.dropout(hidden))
        return Judgement(hidden * present[..., None], logits, present)


class Expert(nn.Module, ABC):
    """Shot embedding and BNet for each aspect, then a judgement over sequences.

    The three steps are apart so that a stream can keep the results of the first two:
    ``embed`` once a shot, ``relate`` once a boundary, ``judge`` on the last ``L`` boundaries.

    Args:
        dims: Aspect → length of the tokens it gets (after projection).
        size: Widths.
        reach: ``w_b``.
    """

    def __init__(self, dims: Mapping[str, int], size: ExpertSize, reach: int) -> None:
        super().__init__()
        self.aspects = tuple(dims)
        self.size = size
        self.reach = reach
        self.embeddings = nn.ModuleDict()
        self.bnets = nn.ModuleDict()
        for aspect, dim in dims.items():
            self.embeddings[aspect] = (
                SpectrogramEmbedding(size.embedding)
                if dim == SPECTROGRAM_DIM
                else ShotEmbedding(dim, size.embedding)
            )
            # The base network compares spectrograms by difference alone.
            self.bnets[aspect] = BNet(
                size.channels,
                reach,
                shared=size.shared_difference,
                relation=dim != SPECTROGRAM_DIM,
            )

    def relation_width(self, aspect: str) -> int:
        """Length of ``b_i^f`` of one aspect."""
        bnet = self.bnets[aspect]
        assert isinstance(bnet, BNet)
        return self.size.channels if bnet.relation is None else self.size.relation

    def embed(self, aspect: str, batch: TokenBatch) -> Tensor:
        """Shot vectors of one aspect.

        Shape:
            ``(S, D)``
        """
        vectors: Tensor = self.embeddings[aspect](batch)
        return vectors

    def relate(self, aspect: str, windows: Tensor) -> Tensor:
        """Boundary representations of one aspect.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, relation_width(aspect))``
        """
        relations: Tensor = self.bnets[aspect](windows)
        return relations

    @abstractmethod
    def judge(self, relations: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Judgement:
        """Judges sequences of boundaries.

        Args:
            relations: Aspect → ``(B, L, relation_width(aspect))``.
            present: Aspect → bool ``(B, L)``: the aspect is in both adjacent shots.
        """

    def forward(self, shots: Mapping[str, TokenBatch], sequences: int) -> Judgement:
        """All three steps, for training.

        Args:
            shots: Aspect → tokens of ``sequences`` runs of ``L + 2*w_b - 1`` shots, end to end.
            sequences: ``B``.
        """
        relations: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        for aspect in self.aspects:
            batch = shots[aspect]
            vectors = _split(self.embed(aspect, batch), sequences)
            windows, there = boundary_windows(vectors, _split(batch.present, sequences), self.reach)
            relations[aspect] = _split(self.relate(aspect, windows.flatten(0, 1)), sequences)
            present[aspect] = there
        return self.judge(relations, present)


def _split(rows: Tensor, sequences: int) -> Tensor:
    """``(B * n, ...)`` → ``(B, n, ...)``."""
    return rows.reshape(sequences, -1, *rows.shape[1:])
