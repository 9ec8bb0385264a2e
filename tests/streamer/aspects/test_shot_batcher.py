from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
import torch

from streamer.aspects.batching import ShotBatcher, flush_all
from streamer.extractor import PictureInput


@dataclass
class Evens:
    """Sees even numbers only."""

    aspect: str = "evens"
    network: str = "evens"
    kind: Literal["picture"] = "picture"
    input: PictureInput = field(default_factory=lambda: PictureInput(1, 1, Fraction(1)))
    dim: int = 2

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        value = pieces.float().reshape(-1, 1)
        return torch.where(value % 2 == 0, value, torch.nan).repeat(1, 2)


@pytest.mark.parametrize("batch", [1, 2, 3, 16])
def test_a_piece_that_shows_nothing_yields_no_token(batch: int) -> None:
    batcher = ShotBatcher(Evens(), batch)
    for number in (1, 2, 3, 3, 4, 6, 7):
        batcher.add(torch.tensor([number]))
    tokens = batcher.close()
    assert tokens is not None
    np.testing.assert_array_equal(tokens, [[2, 2], [4, 4], [6, 6]])
    for number in (1, 3):
        batcher.add(torch.tensor([number]))
    assert flush_all([batcher]) == {}
