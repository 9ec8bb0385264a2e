"""Experts and mixer: milliseconds for one new shot, causal."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.window.scorer import CausalScorer

if TYPE_CHECKING:
    from streamer.models.mixture import Moae


def measure_experts(model: Moae, shots: int = 500, tokens: int = 4) -> tuple[float, float]:
    """Pushes random shots through the causal segmenter on one thread.

    Args:
        model: Experts and mixer.
        shots: How many are timed, after ten to warm up.
        tokens: Per aspect and shot.

    Returns:
        Median and 95th percentile, milliseconds a shot.
    """
    random = np.random.default_rng(0)
    segmenter = CausalScorer(model)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    try:
        for _ in range(shots + 10):
            shot = {
                name: random.standard_normal((tokens, spec.dim)).astype(np.float32)
                for name, spec in model.config.aspects.items()
            }
            began = time.perf_counter()
            segmenter.push(shot)
            times.append(1000 * (time.perf_counter() - began))
    finally:
        torch.set_num_threads(threads)
    cuts = quantiles(times[10:], n=100, method="inclusive")
    return cuts[49], cuts[94]
