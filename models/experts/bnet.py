"""Shot-level boundary network: relation and difference of the shots around a boundary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TINY = 1e-16
"""Least squared length in a cosine."""
_VALUES_AT_ONCE = 1 << 21


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
        rows = _rows(self.conv, windows.shape[1], 0)
        if not torch.is_grad_enabled():
            return torch.cat([_mix(rows, part).amax(dim=1) for part in _parts(windows, rows)])
        # Only the highest channel has a slope: the others are left out of the graph.
        with torch.no_grad():
            highest = torch.cat([_mix(rows, p).max(dim=1).indices for p in _parts(windows, rows)])
        chosen = F.embedding(highest, rows)
        return (chosen[..., :-1] * windows.transpose(1, 2)).sum(dim=-1) + chosen[..., -1]


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
        shots = windows.shape[1]
        before = _rows(self.before, shots, 0).double()
        after = _rows(self.after or self.before, shots, self.reach).double()
        # What is compared is linear in the shots: their products with each other (and with the
        # one before the bias) say all, and are few. Doubles, for nearly equal ones cancel out.
        known = F.pad(windows.double(), (0, 0, 0, 1), value=1.0)
        products = torch.matmul(known, known.transpose(1, 2)).flatten(1)
        pairs = torch.cat([_outer(before, after), _outer(before, before), _outer(after, after)])
        dot, left, right = torch.matmul(products, pairs.T).chunk(3, dim=1)
        cosine = dot * (left.clamp_min(_TINY) * right.clamp_min(_TINY)).rsqrt()
        return cosine.to(windows.dtype)


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


def _rows(conv: nn.Conv2d, shots: int, first: int) -> Tensor:
    """A convolution over some shots of a window as a matrix over all of them, biases last.

    Shape:
        ``(C, shots + 1)``
    """
    assert conv.bias is not None
    weight = conv.weight.flatten(1)
    padded = F.pad(weight, (first, shots - first - weight.shape[1]))
    return torch.cat((padded, conv.bias[:, None]), dim=1)


def _mix(rows: Tensor, windows: Tensor) -> Tensor:
    """Convolves windows, as matrix products.

    Shape:
        ``(C, shots + 1)``, ``(N, shots, D)`` → ``(N, C, D)``
    """
    return torch.baddbmm(rows[:, -1:], rows[:, :-1].expand(len(windows), -1, -1), windows)


def _parts(windows: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Windows in parts whose convolutions fit into a cache."""
    return torch.split(windows, max(1, _VALUES_AT_ONCE // (len(rows) * windows.shape[2])))


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """``(C, n)`` twice → ``(C, n * n)``: products of all pairs of columns."""
    return (left[:, :, None] * right[:, None]).flatten(1)
