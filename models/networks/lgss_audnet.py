"""The spectrogram CNN of the local-to-global scene segmentation network, for the stft slot.

Rao et al. 2020 (LGSS, CVPR): trained together with the segmentation, so its weights are a part of
a released LGSS checkpoint (``…audnet.*``). Loads the published layout; numbers not verified against
a released file.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from streamer.extractor import SoundInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import Normed
from streamer.models.networks.mel import magnitudes

RATE = 16000
_FFT, _HOP = 512, 128
_SECONDS = 4
_SLICES, _SLICE = 3, 30
_FLATTEST, _FAINTEST, _RANGE = 1e-6, 1e-5, 80.0
# Outputs, kernel and stride of the six convolutions.
_LAYERS = (
    (64, (3, 3), (2, 1)),
    (192, (3, 3), (2, 1)),
    (384, (3, 3), (2, 1)),
    (256, (3, 3), (2, 2)),
    (256, (3, 3), (2, 2)),
    (512, (3, 2), (1, 1)),
)
_POOLS = {1: (1, 3), 5: (2, 2)}
_DIM = 512


class LgssAudnet(Normed):
    """Sound → 512 values.

    Front end: the window moved and scaled to [-1, 1], frames of 512 every 128 samples (periodic
    Hann, centred and mirrored at the edges), decibels of the magnitude (80 below the loudest at
    most), and of these three slices of 30 frames around the quarters: 257 × 90. The
    original repeats a short shot up to four seconds; here its last window is padded as for every
    aspect.

    Shape:
        ``(batch, 64000)`` → ``(batch, 512)``
    """

    pairs = tuple((f"conv{n}", f"bn{n}") for n in range(1, 7))
    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(_FFT, device="cpu"), persistent=False)
        inputs = 1
        for number, (outputs, kernel, stride) in enumerate(_LAYERS, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, kernel, stride))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
            inputs = outputs
        self.fc = nn.Linear(inputs, _DIM)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        x = self._slices(samples)[:, None].contiguous(memory_format=torch.channels_last)
        for number, (convolution, norm) in enumerate(self.pairs, start=1):
            x = self.get_submodule(norm)(self.get_submodule(convolution)(x))
            x = functional.relu_(x)
            if number in _POOLS:
                x = functional.max_pool2d(x, _POOLS[number])
        tokens: torch.Tensor = self.fc(x.flatten(1))
        return tokens

    def _slices(self, samples: torch.Tensor) -> torch.Tensor:
        high, low = samples.amax(1, keepdim=True), samples.amin(1, keepdim=True)
        span = (high - low) / 2
        level = (samples - (high + low) / 2) / span.where(span >= _FLATTEST, 1.0)
        padded = functional.pad(level[:, None], (_FFT // 2, _FFT // 2), mode="reflect")[:, 0]
        magnitude = magnitudes(padded, self.window, _HOP, _FFT).transpose(1, 2)
        decibels = 20.0 * torch.log10(magnitude.clamp_min(_FAINTEST))
        decibels = decibels.maximum(decibels.amax((1, 2), keepdim=True) - _RANGE)
        frames = decibels.shape[2]
        # Four nearly equal parts, the longer ones first; a slice around the start of each but the
        # first.
        part, longer = divmod(frames, _SLICES + 1)
        starts = [part * n + min(n, longer) for n in range(1, _SLICES + 1)]
        half = _SLICE // 2
        return torch.cat([decibels[:, :, at - half : at + half] for at in starts], dim=2)


NETWORK = Architecture(
    name="lgss-audnet",
    slots=("stft",),
    module=LgssAudnet,
    input=SoundInput(RATE, _SECONDS * RATE, _SECONDS * RATE),
    dim=_DIM,
    max_rows=8,
    channels_last=True,
)
