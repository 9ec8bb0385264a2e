"""PANNs CNN14 for the panns slot: sound events, from a log-mel picture."""

from __future__ import annotations

import torch

from streamer.models.networks.base import Architecture
from streamer.models.networks.panns import DIM, INPUT, Panns


class Cnn14(Panns):
    """Sound → 2048 values; see `Panns`.

    Shape:
        ``(batch, 81920)`` → ``(batch, 2048)``
    """

    def __init__(self) -> None:
        super().__init__(after_first=64)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embeds windows."""
        return self.top(self.bands(samples))


NETWORK = Architecture(
    name="panns-cnn14",
    slots=("panns",),
    module=Cnn14,
    input=INPUT,
    dim=DIM,
    max_rows=4,
    channels_last=True,
)
