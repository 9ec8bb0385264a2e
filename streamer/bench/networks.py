"""Measure aspect networks, experts and mixer on made-up inputs; values do not change the cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import median, quantiles
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.extractor import ClipInput, PictureInput
from streamer.models.networks.base import Architecture
from streamer.models.networks.registry import architecture, names
from streamer.window.scorer import CausalScorer

if TYPE_CHECKING:
    from streamer.models.mixture import Moae

_BATCH = 4
_INTERVAL = Fraction(2)
_CLIP_RATE = 24


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """Hold one network's cost on one core.

    Attributes:
        network: Its name.
        slot: Aspect it fills.
        tokens: Tokens a second of film.
        alone: Thread seconds a second of film, one piece at a time.
        together: The same, four pieces at a time.
        megabytes: Of float32 weights.
    """

    network: str
    slot: str
    tokens: float
    alone: float
    together: float
    megabytes: float


def measure_networks(rounds: int) -> Iterator[NetworkCost]:
    """Measure every network of this package on noise.

    Args:
        rounds: Passes of which the median counts.

    Yields:
        Costs, slot by slot; networks that look for faces find none in noise, so that only the
        search is timed.
    """
    found = sorted((architecture(name) for name in names()), key=lambda each: each.slots)
    for each in found:
        yield _measure(each, rounds)


def _measure(network: Architecture, rounds: int) -> NetworkCost:
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    if network.weights:
        with torch.device("meta"):
            state = network.module().state_dict()
        for name, tensor in state.items():
            if not name.endswith("num_batches_tracked"):
                tensors[name] = torch.rand(tensor.shape, generator=generator) * 0.05
    extractor = network.build(network.slots[0], tensors, torch.device("cpu"), _INTERVAL)
    wanted = network.input
    if isinstance(wanted, PictureInput):
        shape: tuple[int, ...] = (_BATCH, 3, wanted.height, wanted.width)
        rate = 1 / _INTERVAL
    elif isinstance(wanted, ClipInput):
        shape = (_BATCH, wanted.frames, 1, wanted.height, wanted.width)
        rate = Fraction(_CLIP_RATE, wanted.frames - 1)
    else:
        shape = (_BATCH, wanted.window)
        rate = Fraction(wanted.rate, wanted.hop)
    if len(shape) == 2:
        pieces = torch.rand(shape, generator=generator) - 0.5
    else:
        pieces = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    seconds = []
    for batch in (pieces[:1], pieces):
        extractor.embed(batch)
        passes = []
        for _ in range(rounds):
            began = time.thread_time()
            extractor.embed(batch)
            passes.append((time.thread_time() - began) / len(batch))
        seconds.append(median(passes) * float(rate))
    size = sum(tensor.numel() for tensor in tensors.values()) * 4 / 1e6
    return NetworkCost(network.name, network.slots[0], float(rate), seconds[0], seconds[1], size)


def measure_experts(model: Moae, shots: int = 500, tokens: int = 4) -> tuple[float, float]:
    """Measure experts and mixer on random shots, causally and on one thread.

    Args:
        model: Experts and mixer.
        shots: Number of timed shots, after ten to warm up.
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
