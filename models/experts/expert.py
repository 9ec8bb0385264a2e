"""Experts: on one aspect (HLSS), on several aspects (MME), or a fixed combination of aspects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from streamer.errors import ConfigError
from streamer.models.catalogue import find_row
from streamer.models.experts.layers import (
    SPECTROGRAM_DIM,
    BNet,
    MultimodalAttention,
    ShotEmbedding,
    SpectrogramEmbedding,
)
from streamer.models.experts.tokens import TokenBatch, boundary_windows

Width = Annotated[int, Field(ge=1, le=8192)]

COMBINE_WEIGHTS: Final[Mapping[str, float]] = {
    "place": 0.5,
    "cast": 0.2,
    "action": 0.2,
    "stft": 0.1,
}
"""Weights of ``HLSS_combine`` in the public code of the base network."""


class ExpertSize(BaseModel):
    """Widths of one expert; the same for all experts of a mixture.

    Attributes:
        projection: Tokens are scaled and cut to this many principal components before they
            reach an expert; 0 keeps every dimension and only standardises *(choice)*.
        max_tokens: Longer shots are thinned evenly to this many tokens *(choice)*.
        embedding: Hidden state of the shot embedding, ``D``.
        channels: Similarity channels of BNet, ``C``.
        shared_difference: Both halves of ``B_d`` use one convolution, as the public code does;
            with two, as the paper says, the shots next to the boundary can be compared, which
            measured better on composed films *(choice)*.
        standard: ``d_std`` of the multimodal attention.
        recurrent: Hidden state of the LSTM over boundaries, each direction.
        bidirectional: Whether that LSTM also runs backwards over its window.
        hidden: Length of ``E_f``.
        dropout: Rate on boundary features while training; the paper names none *(choice)*.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    projection: int = Field(default=64, ge=0, le=8192)
    max_tokens: Width = 16
    embedding: Width = 64
    channels: Width = 64
    shared_difference: bool = False
    standard: Width = 64
    recurrent: Width = 48
    bidirectional: bool = True
    hidden: Width = 100
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)

    @property
    def relation(self) -> int:
        """Length of the boundary features ``b_i^f``: ``D + C``."""
        return self.embedding + self.channels

    @classmethod
    def compact(cls) -> ExpertSize:
        """Return the sizes of the shipped checkpoint: ten experts in a few megabytes."""
        return cls()

    @classmethod
    def paper(cls) -> ExpertSize:
        """Return the sizes of the paper and of the public code of its base network."""
        return cls(
            projection=0,
            max_tokens=64,
            embedding=512,
            channels=512,
            standard=512,
            recurrent=512,
            shared_difference=True,
            dropout=0.0,
        )


@dataclass(frozen=True, slots=True)
class ExpertOutput:
    """Output of one expert for ``B`` sequences of ``L`` boundaries.

    Attributes:
        hidden: ``E_f``, ``(B, L, hidden)``; zero where the expert is absent.
        logits: ``(B, L, 2)``, {not a boundary, boundary}; undefined where absent.
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
        width: Length of one boundary's features.
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

    def forward(self, features: Tensor, present: Tensor) -> ExpertOutput:
        """Score every boundary.

        Args:
            features: ``(B, L, width)``.
            present: Bool ``(B, L)``; the LSTM gets zeros at absent positions.
        """
        states, _ = self.lstm(self.dropout(features) * present[..., None])
        hidden = self.hidden(states).relu()
        logits = self.out(self.dropout(hidden))
        return ExpertOutput(hidden * present[..., None], logits, present)


class Expert(nn.Module, ABC):
    """Shot embedding and BNet for each aspect, then scores over sequences of boundaries.

    The three steps are separate so that a stream can cache the results of the first two:
    ``embed`` runs once a shot, ``boundary_features`` once a boundary, ``score`` on the last
    ``L`` boundaries.

    Args:
        dims: Aspect → length of its projected tokens.
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
        """Return the length of ``b_i^f`` of one aspect."""
        bnet = self.bnets[aspect]
        assert isinstance(bnet, BNet)
        return self.size.channels if bnet.relation is None else self.size.relation

    def embed(self, aspect: str, batch: TokenBatch) -> Tensor:
        """Embed the shots of one aspect.

        Shape:
            ``(S, D)``
        """
        vectors: Tensor = self.embeddings[aspect](batch)
        return vectors

    def boundary_features(self, aspect: str, windows: Tensor) -> Tensor:
        """Compute the features ``b_i^f`` of boundaries in one aspect.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, relation_width(aspect))``
        """
        features: Tensor = self.bnets[aspect](windows)
        return features

    @abstractmethod
    def score(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> ExpertOutput:
        """Score sequences of boundaries.

        Args:
            features: Aspect → ``(B, L, relation_width(aspect))``.
            present: Aspect → bool ``(B, L)``: both adjacent shots have the aspect.
        """

    def forward(self, shots: Mapping[str, TokenBatch], sequences: int) -> ExpertOutput:
        """Run all three steps, for training.

        Args:
            shots: Aspect → tokens of ``sequences`` runs of ``L + 2*w_b - 1`` shots, concatenated.
            sequences: ``B``.
        """
        features: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        for aspect in self.aspects:
            batch = shots[aspect]
            vectors = _split(self.embed(aspect, batch), sequences)
            windows, both = boundary_windows(vectors, _split(batch.present, sequences), self.reach)
            rows = self.boundary_features(aspect, windows.flatten(0, 1))
            features[aspect] = _split(rows, sequences)
            present[aspect] = both
        return self.score(features, present)


def _split(rows: Tensor, sequences: int) -> Tensor:
    """Reshape ``(B * n, ...)`` → ``(B, n, ...)``."""
    return rows.reshape(sequences, -1, *rows.shape[1:])


class UnimodalExpert(Expert):
    """``HLSS_X``: BNet → Bi-LSTM → ``E_f`` → softmax (paper, section II-C1).

    Absent where its aspect is.

    Args:
        aspect: Its aspect.
        dim: Length of its tokens.
        size: Widths.
        reach: ``w_b``.
    """

    def __init__(self, aspect: str, dim: int, size: ExpertSize, reach: int) -> None:
        super().__init__({aspect: dim}, size, reach)
        self.aspect = aspect
        self.head = Head(self.relation_width(aspect), size)

    def score(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> ExpertOutput:
        """See ``Expert.score``."""
        output: ExpertOutput = self.head(features[self.aspect], present[self.aspect])
        return output


class MultimodalExpert(Expert):
    """``MME_X``: a BNet an aspect → ``d_std`` → attention → Bi-LSTM → ``E_f`` → softmax.

    See the paper, section II-C2. The expert is absent where its first aspect is. Other absent
    aspects are left out of the attention, so that the first one is scored alone *(choice)*.

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

    def score(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> ExpertOutput:
        """See ``Expert.score``."""
        modalities = torch.stack(
            [self.standard[name](features[name]) for name in self.aspects], dim=-2
        )
        there = torch.stack([present[name] for name in self.aspects], dim=-1)
        fused = self.attention(modalities, there)
        output: ExpertOutput = self.head(fused, present[self.aspects[0]])
        return output


class CombinedExpert(Expert):
    """``HLSS_combine``: late fusion, *logits* of one branch an aspect summed by fixed weights.

    Where an aspect is absent the weights of the others are scaled to sum to one; where all are,
    the expert is absent *(choice)*.

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

    def score(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> ExpertOutput:
        """See ``Expert.score``."""
        parts: list[ExpertOutput] = [
            self.heads[name](features[name], present[name]) for name in self.aspects
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
        return ExpertOutput(torch.as_tensor(hidden), torch.as_tensor(logits), there.any(dim=-1))


def build_expert(name: str, dims: Mapping[str, int], size: ExpertSize, reach: int) -> Expert:
    """Make the expert of a row of Table II, with fresh parameters.

    Args:
        name: Printed name, e.g. ``MME_place_PANNs``.
        dims: Aspect → length of its tokens; holds every aspect of the row.
        size: Widths.
        reach: ``w_b``.

    Raises:
        ConfigError: No expert has this name, or an aspect of it is missing.
    """
    row = find_row(name)
    missing = [aspect for aspect in row.aspects if aspect not in dims]
    if missing:
        raise ConfigError(f"{name} needs the aspect {missing[0]!r}, which is not there")
    needed = {aspect: dims[aspect] for aspect in row.aspects}
    if row.kind == "hlss":
        return UnimodalExpert(row.aspects[0], needed[row.aspects[0]], size, reach)
    if row.kind == "mme":
        return MultimodalExpert(needed, size, reach)
    if row.kind == "combine":
        return CombinedExpert(needed, size, reach)
    raise ConfigError(f"{name} combines experts; it is not one")
