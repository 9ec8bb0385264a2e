"""Loudness of each second of audio, and how unsteady it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.extractor import SoundInput
from streamer.plugins import Aspect


class Loudness(Aspect):
    """Give the mean and the deviation of the level in decibels, over twenty parts of a second."""

    input = SoundInput(rate=16000, window=16000, hop=16000)

    def embed(self, pieces: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Turn audio (batch, 16000) into tokens (batch, 2)."""
        power = np.square(pieces.reshape(len(pieces), 20, 800)).mean(axis=2)
        level = 10 * np.log10(power + 1e-10)
        return np.stack([level.mean(axis=1), level.std(axis=1)], axis=1)
