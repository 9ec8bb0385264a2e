"""Extractors without weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from streamer.extractor import ClipInput, PictureInput, SoundInput


@dataclass
class Mean:
    """The mean of a piece.

    Attributes:
        aspect: The slot it fills.
        input: What a piece is.
        network: Its name.
        dim: Length of a token.
        rows: Pieces embedded so far.
    """

    aspect: str
    input: PictureInput | ClipInput | SoundInput
    network: str = "mean"
    dim: int = 1
    rows: int = field(default=0, compare=False)

    @property
    def kind(self) -> Literal["picture", "clip", "sound"]:
        if isinstance(self.input, PictureInput):
            return "picture"
        return "clip" if isinstance(self.input, ClipInput) else "sound"

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        self.rows += len(pieces)
        return pieces.float().flatten(1).mean(1, keepdim=True)
