"""Mixed precision keeps the tokens, and rows that overflow are repeated in float32.

Autocast runs the same code on a CPU, so that this needs no GPU; the same bound is checked on one by
``streamer bench aspects --device cuda``.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from streamer.extractor import PictureInput, SoundInput
from streamer.models.networks.base import MIN_COSINE, TorchExtractor
from streamer.models.networks.registry import architecture, build, names
from streamer.models.weights.store import WeightStore
from tests.media import texture

CAST = [network for network in names() if architecture(network).autocast is not None]


def extractor(network: str, store: WeightStore) -> TorchExtractor:
    slot = architecture(network).slots[0]
    made = build(slot, network, store, torch.device("cpu"), Fraction(2))
    assert isinstance(made, TorchExtractor)
    return made


def pieces(spec: object) -> torch.Tensor:
    """Pictures, or noise, plucked tones and a sweep, loud and soft."""
    if isinstance(spec, PictureInput):
        made = np.stack([texture(seed, spec.width, spec.height) for seed in range(5)])
        return torch.from_numpy(made.transpose(0, 3, 1, 2).copy())
    assert isinstance(spec, SoundInput)
    random = np.random.default_rng(0)
    time = np.arange(spec.window) / spec.rate
    sounds = [random.standard_normal(spec.window) * level for level in (0.3, 0.03, 0.003)]
    sounds += [
        level * np.sign(np.sin(2 * np.pi * pitch * time)) * np.exp(-time)
        for pitch, level in ((110, 0.5), (440, 0.1), (1500, 0.02))
    ]
    sweep = 0.3 * np.sin(2 * np.pi * (200 * time + 750 * time**2))
    sounds.append(sweep + 0.01 * random.standard_normal(spec.window))
    return torch.from_numpy(np.stack(sounds).astype(np.float32))


@pytest.mark.parametrize("network", CAST)
def test_tokens_in_mixed_precision_are_close(network: str, weight_store: WeightStore) -> None:
    full = extractor(network, weight_store)
    assert full.autocast is None
    mixed = replace(full, autocast=full.architecture.autocast)
    given = pieces(full.input)
    wanted, got = full.embed(given), mixed.embed(given)
    assert got.dtype == torch.float32
    assert not torch.equal(wanted, got)
    assert float(torch.cosine_similarity(wanted, got, dim=1).min()) >= MIN_COSINE


def test_rows_that_overflow_are_repeated_in_float32(weight_store: WeightStore) -> None:
    full = extractor("aisfx-cnn9", weight_store)
    mixed = replace(full, autocast=torch.float16)
    given = pieces(full.input)
    with torch.inference_mode():
        bare = mixed._autocast(given)
    lost = ~bare.isfinite().all(dim=1)
    assert bool(lost.any())
    assert not bool(lost.all())
    wanted, got = full.embed(given), mixed.embed(given)
    assert bool(got.isfinite().all())
    torch.testing.assert_close(got[lost], wanted[lost], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got[~lost], bare[~lost], rtol=0, atol=0)


@pytest.mark.parametrize("network", ["aisfx-cnn9", "efficientnet-lite0", "musicnn-mtt", "ge2e"])
def test_extremes_give_numbers_in_mixed_precision_too(
    network: str, weight_store: WeightStore
) -> None:
    full = extractor(network, weight_store)
    mixed = replace(full, autocast=full.architecture.autocast)
    if isinstance(full.input, PictureInput):
        shape = (1, 3, full.input.height, full.input.width)
        given = torch.cat([torch.full(shape, value, dtype=torch.uint8) for value in (0, 255)])
    else:
        assert isinstance(full.input, SoundInput)
        window = full.input.window
        rows = [torch.zeros(window), torch.ones(window), torch.full((window,), torch.nan)]
        rows += [torch.full((window,), torch.inf), torch.rand(window).sub(0.5).sign() * 1e9]
        given = torch.stack(rows)
    assert bool(mixed.embed(given).isfinite().all())


def test_a_cpu_casts_nothing() -> None:
    assert len(CAST) == 7
    for network in CAST:
        found = architecture(network)
        assert found.autocast_dtype(torch.device("cpu")) is None
        assert found.autocast_dtype(torch.device("cuda")) is found.autocast
    # Its thresholds would let other faces through.
    assert architecture("mtcnn-dlib").autocast is None
