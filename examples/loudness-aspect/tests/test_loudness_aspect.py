"""Levels that are known."""

from __future__ import annotations

import numpy as np
from loudness_aspect import Loudness


def test_known_levels() -> None:
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 440 * time)
    steady, halves, silence = 0.5 * tone, np.where(time < 0.5, 0.5, 0.05) * tone, 0 * tone
    tokens = Loudness().embed(np.stack([steady, halves, silence]).astype(np.float32))
    np.testing.assert_allclose(tokens, [[-9.03, 0], [-19.03, 10], [-100, 0]], atol=0.1)
