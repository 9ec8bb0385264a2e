"""YAMNet for the vggish slot: sound events in 0.96 s.

MobileNet v1 over a log-mel patch, trained on AudioSet by Google. The released tensors have batch
normalisation folded in and are quantised to 8 bits per output channel; they run here in float.
"""

from __future__ import annotations

import torch
from torch import nn

from streamer.models.networks.base import Architecture
from streamer.models.networks.layers import ConvNorm, same_padding
from streamer.models.networks.mel import AUDIOSET_INPUT, AudiosetMel

_DIM = 1024

# Output channels and stride of the thirteen separable layers after the stem.
_LAYERS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)


class Yamnet(nn.Module):
    """Sound → the 1024 averages before YAMNet's classifier.

    Front end: `AudiosetMel`, ``ln(mel + 0.001)``.

    Shape:
        ``(batch, 15600)`` → ``(batch, 1024)``
    """

    def __init__(self) -> None:
        super().__init__()
        self.mel = AudiosetMel(offset=1e-3)
        channels = 32
        layers: list[nn.Module] = [_layer(1, channels, 3, stride=2)]
        for outputs, stride in _LAYERS:
            layers.append(_layer(channels, channels, 3, stride=stride, groups=channels))
            layers.append(_layer(channels, outputs, 1))
            channels = outputs
        self.layers = nn.Sequential(*layers)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Embed windows."""
        pooled: torch.Tensor = self.layers(self.mel(samples)).mean((2, 3))
        return pooled


def _layer(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> ConvNorm:
    return ConvNorm(
        inputs,
        outputs,
        kernel,
        stride=stride,
        padding=same_padding(kernel, stride),
        groups=groups,
        bias=True,
        epsilon=None,
    )


NETWORK = Architecture(
    name="yamnet",
    slots=("vggish",),
    module=Yamnet,
    input=AUDIOSET_INPUT,
    dim=_DIM,
    max_rows=16,
    channels_last=True,
    autocast=torch.float16,
)
