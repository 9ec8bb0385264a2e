"""TransNetV2: detect shot transitions in windows of 100 small pictures.

Souček & Lokoč 2020 (arXiv:2008.04838), the released weights; tensors keep the names of the authors'
torch port. Cuts, dissolves and fades; few wipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from streamer.models.networks.base import load_weights
from streamer.models.networks.layers import Foldable, fold_all

NAME = "transnetv2"
HEIGHT, WIDTH = 27, 48
WINDOW = 100
_STAGES = (16, 32, 64)
_RATES = (1, 2, 4, 8)
_SEEN = 101
_DIM = 128
_DENSE = 1024
_EPSILON = 1e-3
_BINS = 8


class _Separable(nn.Module):
    """Convolution over space, then a dilated one over time."""

    def __init__(self, inputs: int, outputs: int, rate: int) -> None:
        super().__init__()
        space = nn.Conv3d(inputs, 2 * outputs, (1, 3, 3), padding=(0, 1, 1), bias=False)
        time = nn.Conv3d(
            2 * outputs, outputs, (3, 1, 1), dilation=(rate, 1, 1), padding=(rate, 0, 0), bias=False
        )
        self.layers = nn.ModuleList([space, time])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Dilated(Foldable):
    """Four parallel time scales, normalised together."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for rate in _RATES:
            self.add_module(f"Conv3D_{rate}", _Separable(inputs, outputs, rate))
        self.bn: nn.Module = nn.BatchNorm3d(4 * outputs, eps=_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = [self.get_submodule(f"Conv3D_{rate}")(x) for rate in _RATES]
        y: torch.Tensor = self.bn(torch.cat(scales, dim=1))
        return y

    def fold(self) -> None:
        """Move the normalisation into the four convolutions over time."""
        norm = self.bn
        if not isinstance(norm, nn.BatchNorm3d):
            return
        assert norm.running_mean is not None
        assert norm.running_var is not None
        statistics = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        parts = zip(*(values.chunk(len(_RATES)) for values in statistics), strict=True)
        for rate, (mean, variance, scale, shift) in zip(_RATES, parts, strict=True):
            separable = self.get_submodule(f"Conv3D_{rate}")
            assert isinstance(separable, _Separable)
            time = separable.layers[1]
            assert isinstance(time, nn.Conv3d)
            time.weight, time.bias = fuse_conv_bn_weights(
                time.weight, None, mean, variance, norm.eps, scale, shift
            )
        self.bn = nn.Identity()


class _Stage(nn.Module):
    """Two dilated blocks with a shortcut, then pooling to half the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.DDCNN = nn.ModuleList([_Dilated(inputs, outputs), _Dilated(4 * outputs, outputs)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.DDCNN
        shortcut = functional.relu_(first(x))
        y = functional.relu_(second(shortcut)) + shortcut
        return functional.avg_pool3d(y, (1, 2, 2))


class _Similarity(nn.Module):
    """Similarity of every picture to the 50 before and after it."""

    def __init__(self, projected: int | None) -> None:
        super().__init__()
        self.projection = None if projected is None else nn.Linear(projected, _DIM)
        self.fc = nn.Linear(_SEEN, _DIM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compare features ``(batch, time, dim)``, giving ``(batch, time, 128)``."""
        if self.projection is not None:
            x = self.projection(x)
        x = functional.normalize(x, dim=2)
        time, reach = x.shape[1], _SEEN // 2
        similarity = functional.pad(x @ x.transpose(1, 2), (reach, reach))
        place = torch.arange(time, device=x.device)[:, None] + torch.arange(_SEEN, device=x.device)
        around = similarity.gather(2, place.expand(len(x), -1, -1))
        return functional.relu(self.fc(around))


class TransNetV2(nn.Module):
    """Pictures → probability that each is the last before a cut, or part of a transition.

    Shape:
        uint8 ``(batch, 100, 27, 48, 3)`` → ``(batch, 100)`` in [0, 1]
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *(4 * filters for filters in _STAGES))
        self.SDDCNN = nn.ModuleList(
            _Stage(inputs, filters)
            for (inputs, _), filters in zip(pairwise(channels), _STAGES, strict=True)
        )
        self.frame_sim_layer = _Similarity(sum(channels[1:]))
        self.color_hist_layer = _Similarity(None)
        self.fc1 = nn.Linear(channels[-1] * 3 * 6 + 2 * _DIM, _DENSE)
        self.cls_layer1 = nn.Linear(_DENSE, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Score windows."""
        x = pictures.permute(0, 4, 1, 2, 3).float() / 255.0
        levels = []
        for stage in self.SDDCNN:
            x = stage(x)
            levels.append(x.mean((3, 4)))
        features = torch.cat(
            [
                self.color_hist_layer(_histograms(pictures)),
                self.frame_sim_layer(torch.cat(levels, dim=1).transpose(1, 2)),
                x.permute(0, 2, 3, 4, 1).flatten(2),
            ],
            dim=2,
        )
        logits: torch.Tensor = self.cls_layer1(functional.relu(self.fc1(features)))
        return logits[..., 0].sigmoid()


def _histograms(pictures: torch.Tensor) -> torch.Tensor:
    """Count 8 × 8 × 8 colours, ``(batch, time, 512)``."""
    red, green, blue = (pictures.flatten(2, 3) >> 5).long().unbind(3)
    colour = (red * _BINS + green) * _BINS + blue
    counts = torch.zeros(*colour.shape[:2], _BINS**3, device=pictures.device)
    return counts.scatter_add_(2, colour, torch.ones_like(colour, dtype=torch.float32))


class ShotNetwork:
    """TransNetV2 with its weights, for one window at a time.

    Args:
        tensors: Its weights by name.
        device: Device it runs on.

    Raises:
        WeightsCorrupt: The tensors are not this network's.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], device: torch.device) -> None:
        with torch.device("meta"):
            module = TransNetV2()
        load_weights(module, NAME, tensors)
        module.eval().requires_grad_(False)
        fold_all(module)
        self._module = module.to(device)
        self._device = device

    def predict(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score one window.

        Args:
            pictures: RGB.

        Returns:
            Probability that each picture is the last before a cut, or part of a transition.

        Shape:
            ``(100, 27, 48, 3)`` → ``(100,)``
        """
        with torch.inference_mode():
            window = torch.from_numpy(pictures)[None].to(self._device)
            found: NDArray[np.float32] = self._module(window)[0].float().cpu().numpy()
        return found
