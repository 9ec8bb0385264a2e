"""Shot-level boundary network: relation and difference of the shots around a boundary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Relation(nn.Module):
    """``B_r``: one convolution over all shots of the window, then max over its channels.

    The kernel spans the shots and one feature, so its weights are shared across ``D``.

    Args:
        channels: ``C``.
        reach: ``w_b``.
    """

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.conv = _unbiased(nn.Conv2d(1, channels, (2 * reach, 1)))

    def forward(self, windows: Tensor) -> Tensor:
        """Relates the shots of each window.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, D)``
        """
        return _mix(self.conv, windows).amax(dim=1)


class Difference(nn.Module):
    """``B_d``: both halves of the window convolved, compared by cosine over ``D``.

    Args:
        channels: ``C``.
        reach: ``w_b``.
        shared: One convolution for both halves, as the public code does *(choice)*; otherwise
            two, as the paper's wording allows.
    """

    def __init__(self, channels: int, reach: int, *, shared: bool) -> None:
        super().__init__()
        self.reach = reach
        self.before = _unbiased(nn.Conv2d(1, channels, (reach, 1)))
        self.after = None if shared else _unbiased(nn.Conv2d(1, channels, (reach, 1)))

    def forward(self, windows: Tensor) -> Tensor:
        """Compares what lies before each boundary with what lies after it.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, C)``, within [-1, 1].
        """
        before = _mix(self.before, windows[:, : self.reach])
        after = _mix(self.before if self.after is None else self.after, windows[:, self.reach :])
        return F.cosine_similarity(before, after, dim=2)


class BNet(nn.Module):
    """``b_i^f``: relation and difference, concatenated; neither activation nor normalisation.

    Args:
        channels: ``C``.
        reach: ``w_b``.
        shared: See ``Difference``.
        relation: False leaves ``B_r`` out, as the base network does for spectrograms.
    """

    def __init__(
        self, channels: int, reach: int, *, shared: bool = True, relation: bool = True
    ) -> None:
        super().__init__()
        self.relation = Relation(channels, reach) if relation else None
        self.difference = Difference(channels, reach, shared=shared)

    def forward(self, windows: Tensor) -> Tensor:
        """Describes each boundary.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, D + C)``, or ``(N, C)`` without relation.
        """
        difference: Tensor = self.difference(windows)
        if self.relation is None:
            return difference
        return torch.cat((self.relation(windows), difference), dim=1)


def _unbiased(conv: nn.Conv2d) -> nn.Conv2d:
    """Starts a convolution's biases at zero: a random offset would drown the cosines *(choice)*."""
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _mix(conv: nn.Conv2d, windows: Tensor) -> Tensor:
    """``conv`` over ``(N, 1, shots, D)`` as one matrix product, several times faster on the CPU.

    Shape:
        ``(N, shots, D)`` → ``(N, C, D)``
    """
    assert conv.bias is not None
    weight = conv.weight.flatten(1)
    return torch.matmul(weight, windows) + conv.bias[:, None]
