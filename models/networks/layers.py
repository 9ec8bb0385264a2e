"""Share blocks between networks, and fold normalisation into convolutions for inference."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Activation = Literal["none", "relu", "relu6"]


class Foldable(nn.Module):
    """Block that can be rewritten into a faster equivalent for inference."""

    def fold(self) -> None:
        """Rewrite the block in place after its weights are loaded; a second call does nothing."""
        raise NotImplementedError


class ConvNorm(Foldable):
    """Convolution → batch normalisation → activation, with padding for each side.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Side of the kernel, or its height and width.
        stride: Step in every direction.
        padding: Zeros before and after each axis; TensorFlow's "same" is uneven at stride 2.
        groups: Groups of the convolution.
        bias: The convolution has a bias of its own besides the normalisation.
        epsilon: Added to the variance; None for no normalisation (folded in the weights).
        activation: Activation at the end.
        axes: 1 for signals, 2 for pictures and spectrograms.

    Shape:
        ``(batch, inputs, …)`` → ``(batch, outputs, …)``
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
        bias: bool = False,
        epsilon: float | None = 1e-5,
        activation: Activation = "relu",
        axes: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        before, after = padding
        even = before if before == after else 0
        self._pad = () if before == after else padding * axes
        self.conv: nn.Conv1d | nn.Conv2d
        if axes == 1:
            assert isinstance(kernel, int)
            self.conv = nn.Conv1d(inputs, outputs, kernel, stride, even, groups=groups, bias=bias)
        else:
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, even, groups=groups, bias=bias)
        normalisation = nn.BatchNorm1d if axes == 1 else nn.BatchNorm2d
        self.norm = None if epsilon is None else normalisation(outputs, eps=epsilon)
        self._activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        if self._pad:
            x = functional.pad(x, self._pad)
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        if self._activation == "relu":
            return functional.relu_(x)
        if self._activation == "relu6":
            return functional.hardtanh_(x, 0.0, 6.0)
        return x

    def fold(self) -> None:
        """Move the normalisation into the convolution."""
        if self.norm is not None:
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = None


def same_padding(kernel: int, stride: int) -> tuple[int, int]:
    """Compute TensorFlow's "same" padding for an input whose sides the stride divides.

    Args:
        kernel: Side of the kernel.
        stride: Step.

    Returns:
        Zeros before and after the axis; the larger part comes after.
    """
    total = max(kernel - stride, 0)
    return total // 2, total - total // 2


def fold_all(network: nn.Module) -> None:
    """Fold every `Foldable` inside ``network``, after its weights are loaded.

    Args:
        network: In evaluation mode.
    """
    for module in network.modules():
        if isinstance(module, Foldable):
            module.fold()


class Normed(Foldable):
    """Block whose convolutions and normalisations keep their published names.

    Attributes:
        pairs: Names of each convolution and of the normalisation that follows it.
    """

    pairs: ClassVar[tuple[tuple[str, str], ...]] = ()

    def fold(self) -> None:
        """Move every normalisation into the convolution before it."""
        for first, second in self.pairs:
            norm = getattr(self, second)
            if isinstance(norm, nn.Identity):
                continue
            setattr(self, first, fuse_conv_bn_eval(getattr(self, first), norm))
            setattr(self, second, nn.Identity())
