"""VGGish with the published rotation and whitening behind it, as AudioSet's features have it.

Loads the published layouts of both files; numbers not verified against the released files.
"""

from __future__ import annotations

import torch
from torch import nn

from streamer.models.networks.audioset_mel import INPUT
from streamer.models.networks.base import Architecture
from streamer.models.networks.vggish import DIM, Vggish

_LARGEST = 2.0


class VggishPca(Vggish):
    """Sound → 128 whitened values in [-2, 2]; they are not rounded to 8 bits.

    Shape:
        ``(batch, 15600)`` → ``(batch, 128)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.pca_eigen_vectors = nn.Parameter(torch.empty(DIM, DIM))
        self.pca_means = nn.Parameter(torch.empty(DIM, 1))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embeds windows."""
        centred = super().forward(samples) - self.pca_means[:, 0]
        return (centred @ self.pca_eigen_vectors.T).clamp(-_LARGEST, _LARGEST)


NETWORK = Architecture(
    name="vggish-pca",
    slots=("vggish",),
    module=VggishPca,
    input=INPUT,
    dim=DIM,
    max_rows=16,
    channels_last=True,
)
