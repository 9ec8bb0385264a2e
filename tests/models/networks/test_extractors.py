"""The default networks with their real weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from models.networks.registry import build
from models.weights.manifest import MANIFEST
from models.weights.store import WeightStore
from streamer.aspects.extractor import Extractor, PictureInput, SoundInput
from tests.media import texture
from tests.models.networks import pieces

# Values of another implementation of each network, computed once from the same released weights.
GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())
# Of a vector's length: float32 over other instruction sets and thread counts stays well below.
TOLERANCE = 2e-5

NETWORKS = sorted(MANIFEST)
SOUND_NETWORKS = [name for name in NETWORKS if name != "efficientnet-lite0"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other crawl on a machine that is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def extractors(weight_store: WeightStore) -> dict[str, Extractor]:
    return {
        name: build(MANIFEST[name].slots[0], name, weight_store, torch.device("cpu"), Fraction(2))
        for name in NETWORKS
    }


def noise(extractor: Extractor, rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    wanted = extractor.input
    if isinstance(wanted, PictureInput):
        size = (rows, 3, wanted.height, wanted.width)
        return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
    loudness = torch.rand(rows, 1, generator=generator)
    return (torch.rand(rows, wanted.window, generator=generator) * 2 - 1) * loudness


def worst(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest distance between rows, in units of the row's length."""
    return float(((ours - theirs).norm(dim=1) / theirs.norm(dim=1).clamp_min(1e-6)).max())


@pytest.mark.parametrize("network", NETWORKS)
def test_golden(extractors: dict[str, Extractor], network: str) -> None:
    tokens = extractors[network].embed(pieces.batch(extractors[network])).numpy()
    golden = GOLDEN[network]
    assert len(tokens) == len(golden["rows"])
    for token, row in zip(tokens, golden["rows"], strict=True):
        assert np.linalg.norm(token) == pytest.approx(row["norm"], rel=TOLERANCE)
        np.testing.assert_allclose(
            token[golden["at"]], row["values"], atol=TOLERANCE * row["norm"], rtol=0
        )


@pytest.mark.parametrize("network", NETWORKS)
def test_shape_type_and_place(extractors: dict[str, Extractor], network: str) -> None:
    extractor = extractors[network]
    for rows in (0, 1, 3):
        tokens = extractor.embed(noise(extractor, rows))
        assert tokens.shape == (rows, extractor.dim)
        assert (tokens.dtype, tokens.device.type) == (torch.float32, "cpu")
        assert not tokens.requires_grad


@pytest.mark.parametrize("network", NETWORKS)
def test_rows_do_not_see_each_other(extractors: dict[str, Extractor], network: str) -> None:
    extractor = extractors[network]
    batch = noise(extractor, 16)
    together = extractor.embed(batch)
    alone = torch.cat([extractor.embed(row[None]) for row in batch])
    assert worst(together, alone) < 1e-5
    turned = extractor.embed(batch.flip(0)).flip(0)
    assert worst(together, turned) < 1e-5


@pytest.mark.parametrize("network", NETWORKS)
def test_same_input_same_bits(extractors: dict[str, Extractor], network: str) -> None:
    extractor = extractors[network]
    batch = noise(extractor, 5)
    before = batch.clone()
    assert torch.equal(extractor.embed(batch), extractor.embed(batch))
    assert torch.equal(batch, before)


def hard_sounds(window: int) -> dict[str, torch.Tensor]:
    square = torch.where(torch.arange(window) % 100 < 50, 1.0, -1.0)
    impulse = torch.zeros(window)
    impulse[window // 2] = 1.0
    broken = torch.full((window,), 0.1)
    broken[::7] = torch.nan
    broken[3::7] = torch.inf
    broken[5::7] = -torch.inf
    return {
        "silence": torch.zeros(window),
        "clipped": square,
        "constant": torch.full((window,), 0.5),
        "impulse": impulse,
        "faintest": torch.full((window,), 1e-38),
        "beyond full scale": square * 1e30,
        "broken samples": broken,
        "nothing but broken samples": torch.full((window,), torch.nan),
    }


@pytest.mark.parametrize("network", SOUND_NETWORKS)
def test_hard_sounds_give_finite_tokens(extractors: dict[str, Extractor], network: str) -> None:
    extractor = extractors[network]
    assert isinstance(extractor.input, SoundInput)
    for name, sound in hard_sounds(extractor.input.window).items():
        token = extractor.embed(sound[None])
        assert token.isfinite().all(), name
    silence = extractor.embed(torch.zeros(1, extractor.input.window))
    nothing = extractor.embed(torch.full((1, extractor.input.window), torch.nan))
    assert torch.equal(silence, nothing)


@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_pictures_give_finite_tokens(extractors: dict[str, Extractor], value: int) -> None:
    flat = torch.full((1, 3, 224, 224), value, dtype=torch.uint8)
    assert extractors["efficientnet-lite0"].embed(flat).isfinite().all()


@pytest.mark.parametrize("network", NETWORKS)
def test_wrong_pieces_are_refused(extractors: dict[str, Extractor], network: str) -> None:
    extractor = extractors[network]
    right = noise(extractor, 1)
    with pytest.raises(ValueError, match=network):
        extractor.embed(right[..., :-1])
    with pytest.raises(ValueError, match=network):
        extractor.embed(right.double())


@pytest.mark.parametrize("network", SOUND_NETWORKS)
def test_loudness_matters_less_than_the_sound(
    extractors: dict[str, Extractor], network: str
) -> None:
    extractor = extractors[network]
    loud = pieces.batch(extractor)
    quiet = extractor.embed(loud * 0.4)
    tokens = extractor.embed(loud)
    same = cosine_similarity(tokens, quiet)
    for first, second in combinations(range(len(tokens)), 2):
        different = float(cosine_similarity(tokens[first], tokens[second], dim=0))
        assert min(float(same[first]), float(same[second])) > different


def test_two_views_of_one_scene_are_closer_than_two_scenes(
    extractors: dict[str, Extractor],
) -> None:
    scenes = [texture(seed, 320, 240) for seed in range(4)]
    views = [
        torch.from_numpy(scene[top : top + 224, left : left + 224].copy()).permute(2, 0, 1)
        for scene in scenes
        for top, left in ((0, 0), (16, 96))
    ]
    tokens = extractors["efficientnet-lite0"].embed(torch.stack(views))
    likeness = cosine_similarity(tokens[:, None], tokens[None], dim=2)
    for index in range(len(views)):
        others = [other for other in range(len(views)) if other // 2 != index // 2]
        assert likeness[index, index ^ 1] > likeness[index, others].max()
