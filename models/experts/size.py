"""Widths of the networks, apart from what they compute."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Width = Annotated[int, Field(ge=1, le=8192)]


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
        dropout: Rate on boundary representations while training; the paper names none *(choice)*.
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
        """Length of a boundary representation ``b_i^f``: ``D + C``."""
        return self.embedding + self.channels

    @classmethod
    def compact(cls) -> ExpertSize:
        """Sizes of the checkpoint that ships: ten experts in a few megabytes."""
        return cls()

    @classmethod
    def paper(cls) -> ExpertSize:
        """Sizes of the paper and of the public code of its base network."""
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
