"""Embedding of raw spectrograms for the STFT aspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from streamer.models.experts.tokens import TokenBatch

BINS = 257
FRAMES = 90
SPECTROGRAM_DIM = BINS * FRAMES
"""Length of a flattened spectrogram: 257 bins (16 kHz, n_fft 512, dB) × 90 frames."""


class SpectrogramEmbedding(nn.Module):
    """Small CNN over a shot's 257 × 90 log-magnitude spectrogram.

    The number and widths of the layers are ours *(choice)*; input and output are those of the
    base network's public code.

    Args:
        width: Length of the shot vector; 512 there.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        layers: list[nn.Module] = []
        previous = 1
        for channels, stride in ((16, (2, 1)), (32, (2, 2)), (64, (2, 2)), (128, (2, 2))):
            layers += [nn.Conv2d(previous, channels, 3, stride, 1), nn.ReLU()]
            previous = channels
        self.cnn = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((4, 3)), nn.Flatten())
        self.out = nn.Linear(previous * 12, width)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embeds shots; a shot with several spectrograms gets the mean of theirs.

        Args:
            batch: Tokens ``(S, T, 257 * 90)`` and their numbers.

        Returns:
            Shot vectors; zero where the shot lacks the aspect.

        Shape:
            ``(S, D)``
        """
        shots, most, _ = batch.tokens.shape
        embedded = self.out(self.cnn(batch.tokens.reshape(-1, 1, BINS, FRAMES)))
        embedded = embedded.reshape(shots, most, self.width)
        columns = batch.lengths.new_tensor(range(most))
        real = columns[None, :] < batch.lengths[:, None]
        total = (embedded * real[..., None]).sum(dim=1)
        mean: Tensor = total / batch.lengths.clamp_min(1)[:, None]
        return mean
