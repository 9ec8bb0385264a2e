"""Notices a dissolve when it has ended, from the past alone."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from streamer.shots.compare import lit, unlikeness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streamer.shots.signature import Signature

STEP_SECONDS = 1 / 12
_SPANS = (5, 8, 12, 18, 27)
# Chosen on 32 minutes of composed films. On 12 more: 57 of 61 dissolves and fades found, and 4
# found where there was none; the same photographs were in both.
_OFF_LINE = 0.36
_DIP = 0.72
_JUMP = 0.45
_SETTLED = 0.6
_FADED = 0.1
_GONE = 0.05
_HALFWAY = 0.75


class GradualDetector:
    """Looks for spans in which the picture slid along a line from one content to another.

    A dissolve is the only common change in which every picture on the way is a mixture of the
    first and the last: moving things and cameras leave that line. Where contents that have
    little in common are mixed, the contrast dips below that of both; a change of light or
    exposure leaves it in between. Spans from 0.4 to 2.25 s are tried on a history of one
    picture each twelfth of a second.

    Args:
        threshold: How unlike the ends of a span must be, in [0, 1].
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._signatures: deque[Signature] = deque(maxlen=_SPANS[-1] + 1)
        self._vectors: deque[NDArray[np.float32]] = deque(maxlen=_SPANS[-1] + 1)
        self._next = float("-inf")

    def reset(self) -> None:
        """Forgets the past: what comes belongs to another shot."""
        self._signatures.clear()
        self._vectors.clear()
        self._next = float("-inf")

    @property
    def history(self) -> tuple[float, tuple[Signature, ...]]:
        """When the next picture is looked at, and those kept; `resume` takes them."""
        return self._next, tuple(self._signatures)

    def resume(self, after: float, kept: Iterable[Signature]) -> None:
        """Goes on from the history of another detector."""
        self.reset()
        self._next = after
        for signature in kept:
            self._keep(signature)

    def push(self, seconds: float, signature: Signature) -> bool:
        """Looks at the next picture.

        Args:
            seconds: Its time; only used to thin the history, so rounding does no harm.
            signature: Its numbers.

        Returns:
            Whether a dissolve has just ended.
        """
        # A millisecond of grace: container rounding must not turn 12 pictures a second into 6.
        if seconds < self._next - 1e-3:
            return False
        self._next = max(self._next + STEP_SECONDS, seconds + STEP_SECONDS / 2)
        self._keep(signature)
        return any(self._slid(span) for span in _SPANS if span < len(self._vectors))

    def _keep(self, signature: Signature) -> None:
        self._signatures.append(signature)
        self._vectors.append(np.concatenate((signature.luma.ravel(), signature.chroma.ravel())))

    def _slid(self, span: int) -> bool:
        pictures = [self._signatures[k] for k in range(-1 - span, 0)]
        if unlikeness(pictures[0], pictures[-1]) < self._threshold:
            return False
        luma = np.stack([p.luma for p in pictures])
        power = luma[:, lit(luma[0], luma[-1])].var(axis=1)
        least = min(power[0], power[-1])
        if least < _FADED * max(power[0], power[-1]):
            # One end is nearly flat: half of a fade, whose one cut comes at its other half.
            return False
        gone = np.flatnonzero(power < _GONE * least)
        if gone.size:
            # A fade comes and goes by degrees; a flash or a blank does not.
            return bool(max(power[gone[0] - 1], power[gone[-1] + 1]) < _HALFWAY * least)
        return self._is_mixture(np.stack([self._vectors[k] for k in range(-1 - span, 0)]), power)

    def _is_mixture(self, path: NDArray[np.float32], power: NDArray[np.float32]) -> bool:
        path = path - path[0]
        line = path[-1]
        length = float(line @ line)
        shares = path @ line / length
        steps = np.diff(shares)
        if steps.max() > _JUMP or steps[-1] > _SETTLED * steps.max():
            return False
        away = path - shares[:, None] * line
        if math.sqrt(float((away * away).sum(axis=1).mean()) / length) > _OFF_LINE:
            return False
        between = power[0] * (1 - shares) + power[-1] * shares
        return bool((power / np.maximum(between, 1.0)).min() < _DIP)
