"""What the PANNs networks have in common: log-mel front end and a stack of convolutions.

Kong et al. 2020 (arXiv:1912.10211). Tensors keep their published names. Load the published layout;
numbers not verified against the released files.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.layers import Normed
from streamer.models.networks.mel import magnitudes

RATE = 32000
FFT, HOP, BANDS = 1024, 320, 64
DIM = 2048
# The networks take any length; 2.56 s is what the others of this package see at most.
INPUT = SoundInput(RATE, 256 * HOP, 256 * HOP)
_SOFTEST = 1e-10


class ConvBlock(Normed):
    """Two 3 × 3 convolutions, then an average.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        pool: Height and width that are averaged.

    Shape:
        ``(batch, inputs, frames, bands)`` → ``(batch, outputs, frames / pool, bands / pool)``
    """

    pairs = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inputs: int, outputs: int, pool: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self._pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the block."""
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.relu_(self.bn2(self.conv2(x)))
        return x if self._pool == (1, 1) else functional.avg_pool2d(x, self._pool)


class MelFilters(nn.Module):
    """The published filter bank, which is one of the released tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.empty(FFT // 2 + 1, BANDS))

    def forward(self, power: torch.Tensor) -> torch.Tensor:
        """Power spectra ``(batch, frames, 513)`` → decibels ``(batch, frames, 64)``."""
        return 10.0 * torch.log10((power @ self.melW).clamp_min(_SOFTEST))


class Panns(nn.Module):
    """Sound → the 2048 values under the classifier, none of them negative.

    Front end: frames of 1024 every 320 samples (periodic Hann, centred and mirrored at the edges
    of the window, as in training), power, 64 mel bands between 50 and 14000 Hz, decibels,
    normalised band by band.

    Args:
        after_first: Channels behind the first block.
    """

    window: torch.Tensor

    def __init__(self, after_first: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT, device="cpu"), persistent=False)
        self.logmel_extractor = MelFilters()
        self.bn0 = nn.BatchNorm2d(BANDS)
        self.conv_block1 = ConvBlock(1, 64)
        self.conv_block2 = ConvBlock(after_first, 128)
        self.conv_block3 = ConvBlock(128, 256)
        self.conv_block4 = ConvBlock(256, 512)
        self.conv_block5 = ConvBlock(512, 1024)
        self.conv_block6 = ConvBlock(1024, 2048, pool=(1, 1))
        self.fc1 = nn.Linear(2048, DIM)

    def bands(self, samples: torch.Tensor) -> torch.Tensor:
        """The first block on the log-mel picture.

        Shape:
            ``(batch, samples)`` → ``(batch, 64, frames // 2, 32)``
        """
        padded = functional.pad(samples[:, None], (FFT // 2, FFT // 2), mode="reflect")[:, 0]
        power = magnitudes(padded, self.window, HOP, FFT).square()
        levels = self.logmel_extractor(power).transpose(1, 2)[..., None]
        x = self.bn0(levels).permute(0, 3, 2, 1).contiguous(memory_format=torch.channels_last)
        first: torch.Tensor = self.conv_block1(x)
        return first

    def top(self, x: torch.Tensor) -> torch.Tensor:
        """Everything behind the first block.

        Shape:
            ``(batch, channels, frames, bands)`` → ``(batch, 2048)``
        """
        for block in (self.conv_block2, self.conv_block3, self.conv_block4):
            x = block(x)
        x = self.conv_block6(self.conv_block5(x)).mean(3)
        tokens: torch.Tensor = functional.relu(self.fc1(x.amax(2) + x.mean(2)))
        return tokens
