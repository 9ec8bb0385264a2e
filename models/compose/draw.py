"""Random draws shared by the writers: distributions with hard bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.random import Generator

T = TypeVar("T")


def log_normal(rng: Generator, median: float, sigma: float, low: float, high: float) -> float:
    """A log-normal value, clipped.

    Args:
        rng: Source of chance.
        median: Half of the values lie below.
        sigma: Standard deviation of the logarithm.
        low: Lower bound.
        high: Upper bound.
    """
    return min(max(median * math.exp(sigma * rng.standard_normal()), low), high)


def weighted(rng: Generator, weights: Mapping[T, float]) -> T:
    """One key, with probability proportional to its weight."""
    point = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        point -= weight
        if point < 0:
            return key
    return list(weights)[-1]


def pick(rng: Generator, values: Sequence[T]) -> T:
    """One element, all equally likely."""
    return values[int(rng.integers(len(values)))]


def chance(rng: Generator, probability: float) -> bool:
    """True with a probability."""
    return bool(rng.random() < probability)


def between(rng: Generator, low: float, high: float) -> float:
    """A uniform value."""
    return low + (high - low) * float(rng.random())


class Deck:
    """Cards dealt without repetition until all are out, then shuffled again."""

    def __init__(self, rng: Generator, size: int) -> None:
        self._rng = rng
        self._size = size
        self._left: list[int] = []

    def deal(self, avoid: int | None = None) -> int:
        """The next card, another one than ``avoid`` where there is one."""
        if not self._left:
            self._left = [int(i) for i in self._rng.permutation(self._size)]
        if self._left[-1] == avoid:
            if len(self._left) == 1:
                self._left = [int(i) for i in self._rng.permutation(self._size)] + self._left
            self._left[-1], self._left[0] = self._left[0], self._left[-1]
        return self._left.pop()
