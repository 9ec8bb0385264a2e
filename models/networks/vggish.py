"""VGGish, the paper's network for the vggish slot, with and without PCA: sound in 0.96 s.

Hershey et al. 2017 (arXiv:1609.09430); the torch layout of the published port (``features.N``,
``embeddings.N``), and the rotation and whitening of AudioSet's features. Loads the published
layouts; numbers not verified against the released files.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from streamer.models.networks.base import Architecture
from streamer.models.networks.mel import AUDIOSET_INPUT, AudiosetMel

_CHANNELS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
_DENSE = (512 * 6 * 4, 4096, 4096, 128)
DIM = _DENSE[-1]


class Vggish(nn.Module):
    """Sound → the 128 non-negative values of the embedding layer.

    Front end: `AudiosetMel`, ``ln(mel + 0.01)``.

    Shape:
        ``(batch, 15600)`` → ``(batch, 128)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.mel = AudiosetMel(offset=0.01)
        layers: list[nn.Module] = []
        inputs = 1
        for channels in _CHANNELS:
            if isinstance(channels, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = channels
        self.features = nn.Sequential(*layers)
        dense: list[nn.Module] = []
        for before, after in pairwise(_DENSE):
            dense += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        self.embeddings = nn.Sequential(*dense)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        # The dense layers expect channels to vary fastest.
        x = self.features(self.mel(samples)).permute(0, 2, 3, 1).flatten(1)
        tokens: torch.Tensor = self.embeddings(x)
        return tokens


VGGISH = Architecture(
    name="vggish",
    slots=("vggish",),
    module=Vggish,
    input=AUDIOSET_INPUT,
    dim=DIM,
    max_rows=16,
    channels_last=True,
)


_PCA_RANGE = 2.0


class VggishPca(Vggish):
    """Sound → 128 whitened values in [-2, 2], not quantised to 8 bits.

    Shape:
        ``(batch, 15600)`` → ``(batch, 128)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.pca_eigen_vectors = nn.Parameter(torch.empty(DIM, DIM))
        self.pca_means = nn.Parameter(torch.empty(DIM, 1))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        centred = super().forward(samples) - self.pca_means[:, 0]
        return (centred @ self.pca_eigen_vectors.T).clamp(-_PCA_RANGE, _PCA_RANGE)


VGGISH_PCA = Architecture(
    name="vggish-pca",
    slots=("vggish",),
    module=VggishPca,
    input=AUDIOSET_INPUT,
    dim=DIM,
    max_rows=16,
    channels_last=True,
)
