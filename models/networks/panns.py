"""PANNs CNN14 and Wavegram-Logmel-CNN14 for the panns slot: sound events.

Kong et al. 2020 (arXiv:1912.10211): from a log-mel picture, in the second network (the paper's)
beside a learned one. Tensors keep their published names. Loads the published layouts; numbers not
verified against the released files.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Normed
from streamer.models.networks.mel import magnitudes

RATE = 32000
FFT, HOP, BANDS = 1024, 320, 64
DIM = 2048
# The networks accept any length; 2.56 s is close to the windows of the other sound networks.
INPUT = SoundInput(RATE, 256 * HOP, 256 * HOP)
_SOFTEST = 1e-10


class ConvBlock(Normed):
    """Two 3 × 3 convolutions, then an average.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        pool: Height and width of the average pooling.

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
        """Apply the block."""
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.relu_(self.bn2(self.conv2(x)))
        return x if self._pool == (1, 1) else functional.avg_pool2d(x, self._pool)


class MelFilters(nn.Module):
    """Mel filters that are one of the released tensors, and decibels."""

    def __init__(self) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.empty(FFT // 2 + 1, BANDS))

    def forward(self, power: torch.Tensor) -> torch.Tensor:
        """Convert power spectra ``(batch, frames, 513)`` to decibels ``(batch, frames, 64)``."""
        return 10.0 * torch.log10((power @ self.melW).clamp_min(_SOFTEST))


class Panns(nn.Module):
    """Sound → the 2048 non-negative inputs of the classifier.

    Front end: frames of 1024 every 320 samples (periodic Hann, centred and mirrored at the edges
    of the window, as in training), power, 64 mel bands between 50 and 14000 Hz, decibels,
    normalised band by band.

    Args:
        after_first: Input channels of the second block.
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
        """Run the front end and the first block.

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
        """Run all layers after the first block.

        Shape:
            ``(batch, channels, frames, bands)`` → ``(batch, 2048)``
        """
        for block in (self.conv_block2, self.conv_block3, self.conv_block4):
            x = block(x)
        x = self.conv_block6(self.conv_block5(x)).mean(3)
        tokens: torch.Tensor = functional.relu(self.fc1(x.amax(2) + x.mean(2)))
        return tokens


class Cnn14(Panns):
    """Sound → 2048 values; see `Panns`.

    Shape:
        ``(batch, 81920)`` → ``(batch, 2048)``
    """

    def __init__(self) -> None:
        super().__init__(after_first=64)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        return self.top(self.bands(samples))


CNN14 = Architecture(
    name="panns-cnn14",
    slots=("panns",),
    module=Cnn14,
    input=INPUT,
    dim=DIM,
    max_rows=4,
    channels_last=True,
)


# Rows of a learned picture for each of its channels.
_ROWS = 32


class _WaveBlock(Normed):
    """Two convolutions over time, the second dilated, then a maximum of four."""

    pairs = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=2, dilation=2, bias=False)
        self.bn1 = nn.BatchNorm1d(outputs)
        self.bn2 = nn.BatchNorm1d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.relu_(self.bn2(self.conv2(x)))
        return functional.max_pool1d(x, 4)


class WavegramLogmelCnn14(Panns, Normed):
    """Sound → 2048 values; see `Panns`.

    Shape:
        ``(batch, 81920)`` → ``(batch, 2048)``
    """

    pairs = (("pre_conv0", "pre_bn0"),)

    def __init__(self) -> None:
        super().__init__(after_first=128)
        self.pre_conv0 = nn.Conv1d(1, 64, 11, stride=5, padding=5, bias=False)
        self.pre_bn0 = nn.BatchNorm1d(64)
        self.pre_block1 = _WaveBlock(64, 64)
        self.pre_block2 = _WaveBlock(64, 128)
        self.pre_block3 = _WaveBlock(128, 128)
        self.pre_block4 = ConvBlock(128 // _ROWS, 64, pool=(2, 1))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        wave = functional.relu_(self.pre_bn0(self.pre_conv0(samples[:, None])))
        wave = self.pre_block3(self.pre_block2(self.pre_block1(wave)))
        drawn = self.pre_block4(wave.unflatten(1, (-1, _ROWS)).transpose(2, 3))
        return self.top(torch.cat([self.bands(samples), drawn], dim=1))


WAVEGRAM_LOGMEL_CNN14 = Architecture(
    name="panns-wavegram-logmel-cnn14",
    slots=("panns",),
    module=WavegramLogmelCnn14,
    input=INPUT,
    dim=DIM,
    max_rows=4,
    channels_last=True,
)
