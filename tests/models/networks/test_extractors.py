"""The default networks with their real weights."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import TypedDict

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from streamer.extractor import ClipInput, Extractor, PictureInput, SoundInput
from streamer.models.networks.registry import architecture, build
from streamer.models.weights.manifest import MANIFEST, WEIGHTLESS
from streamer.models.weights.store import WeightStore
from tests.media import texture
from tests.models.networks import pieces
from tests.models.networks.faces import SITTERS, portrait

# Values of another implementation of each network, computed once from the same released weights.
GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())
# Of a vector's length: float32 over other instruction sets and thread counts stays well below.
TOLERANCE = 2e-5

NETWORKS = sorted({*MANIFEST, *WEIGHTLESS})
SOUND_NETWORKS = [n for n in NETWORKS if isinstance(architecture(n).input, SoundInput)]
PICTURE_NETWORKS = [n for n in NETWORKS if n not in SOUND_NETWORKS]


@pytest.fixture(scope="module")
def extractors(weight_store: WeightStore) -> dict[str, Extractor]:
    return {
        name: build(
            architecture(name).slots[0], name, weight_store, torch.device("cpu"), Fraction(2)
        )
        for name in NETWORKS
    }


def noise(extractor: Extractor, rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    wanted = extractor.input
    if isinstance(wanted, ClipInput):
        clip = (rows, wanted.frames, 1, wanted.height, wanted.width)
        return torch.randint(0, 256, clip, dtype=torch.uint8, generator=generator)
    if extractor.aspect == "cast":
        return portraits(extractor, rows)
    if isinstance(wanted, PictureInput):
        size = (rows, 3, wanted.height, wanted.width)
        return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
    loudness = torch.rand(rows, 1, generator=generator)
    return (torch.rand(rows, wanted.window, generator=generator) * 2 - 1) * loudness


def portraits(extractor: Extractor, rows: int) -> torch.Tensor:
    """People here and there; nobody in every fourth picture, two in every fifth."""
    assert isinstance(extractor.input, PictureInput)
    height, width = extractor.input.height, extractor.input.width
    made = torch.full((rows, 3, height, width), 90, dtype=torch.uint8)
    for row in range(rows):
        sitter, turn = SITTERS[row % 3], 0.3 * np.sin(row)
        if row % 4 != 3:
            at = (0.4 + 0.02 * (row % 5), 0.3)
            made[row] = portrait(sitter, height, width, size=0.2 + 0.01 * row, at=at, turn=turn)
        if row % 5 == 4:
            half = portrait(SITTERS[(row + 1) % 3], height, width, size=0.3, at=(0.5, 0.75))
            made[row, :, :, width // 2 :] = half[:, :, width // 2 :]
    return made


def worst(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest distance between rows, in units of the row's length; empty rows agree."""
    empty = theirs.isnan().all(dim=1)
    assert torch.equal(ours.isnan().all(dim=1), empty)
    ours, theirs = ours[~empty], theirs[~empty]
    return float(((ours - theirs).norm(dim=1) / theirs.norm(dim=1).clamp_min(1e-6)).max())


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_rows_do_not_see_each_other(extractors: dict[str, Extractor], network: str) -> None:
    extractor = extractors[network]
    batch = noise(extractor, 16)
    together = extractor.embed(batch)
    alone = torch.cat([extractor.embed(row[None]) for row in batch])
    assert worst(together, alone) < 1e-5
    turned = extractor.embed(batch.flip(0)).flip(0)
    assert worst(together, turned) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_same_input_same_bits(extractors: dict[str, Extractor], network: str) -> None:
    extractor = extractors[network]
    batch = noise(extractor, 5)
    before = batch.clone()
    first, second = extractor.embed(batch), extractor.embed(batch)
    assert torch.equal(first.nan_to_num(-1.0), second.nan_to_num(-1.0))
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


@pytest.mark.parametrize("network", PICTURE_NETWORKS)
@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_pictures_give_finite_or_no_tokens(
    extractors: dict[str, Extractor], network: str, value: int
) -> None:
    extractor = extractors[network]
    token = extractor.embed(torch.full_like(noise(extractor, 1), value))
    if network == "mtcnn-dlib":
        assert token.isnan().all()
    else:
        assert token.isfinite().all()


def test_noise_is_nobody(extractors: dict[str, Extractor]) -> None:
    generator = torch.Generator().manual_seed(3)
    static = torch.randint(0, 256, (1, 3, 432, 768), dtype=torch.uint8, generator=generator)
    assert extractors["mtcnn-dlib"].embed(static).isnan().all()


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


class Pose(TypedDict, total=False):
    """How somebody is painted."""

    size: float
    at: tuple[float, float]
    turn: float
    light: float


@pytest.mark.slow
def test_one_person_is_closer_than_two(extractors: dict[str, Extractor]) -> None:
    poses: tuple[Pose, ...] = (
        {"size": 0.33},
        {"size": 0.2, "at": (0.45, 0.3), "turn": 0.15, "light": -0.7},
        {"size": 0.45, "at": (0.5, 0.6), "turn": -0.2, "light": 0.8},
    )
    pictures = [portrait(sitter, 432, 768, **pose) for sitter in SITTERS for pose in poses]
    tokens = extractors["mtcnn-dlib"].embed(torch.stack(pictures))
    distance = torch.cdist(tokens, tokens)
    who = torch.arange(len(tokens)) // len(poses)
    same = who[:, None] == who[None]
    assert distance[same].max() < distance[~same].min() / 2


def test_the_largest_face_counts_and_its_place_does_not(extractors: dict[str, Extractor]) -> None:
    extractor = extractors["mtcnn-dlib"]
    near = portrait(SITTERS[0], 432, 768, size=0.4, at=(0.5, 0.3))
    far = portrait(SITTERS[1], 432, 768, size=0.2, at=(0.5, 0.8))
    both = near.clone()
    both[:, :, 480:] = far[:, :, 480:]
    mirrored = torch.cat([far[:, :, 480:], near[:, :, :480]], dim=2)
    alone, together, elsewhere = extractor.embed(torch.stack([near, both, mirrored]))
    other = extractor.embed(far[None])[0]
    assert torch.dist(alone, together) < 0.05
    assert torch.dist(alone, elsewhere) < 0.15
    assert torch.dist(alone, other) > 0.35


def moving(right: int, down: int, *, every: int = 1, seed: int = 5) -> torch.Tensor:
    """A camera over a large picture, ``(25, 1, 36, 64)``; each view is shown ``every`` times."""
    wide = torch.from_numpy(texture(seed, 256, 144).copy()).permute(2, 0, 1)[1:2]
    views = []
    for index in range(25):
        left, top = 96 + right * (index // every), 54 + down * (index // every)
        views.append(wide[:, top : top + 36, left : left + 64])
    return torch.stack(views)


def test_motion_has_its_direction_and_not_its_subject(extractors: dict[str, Extractor]) -> None:
    extractor = extractors["grid-flow"]
    moves = [(2, 0), (-2, 0), (0, 1), (0, 0)]
    clips = [moving(*move, seed=seed) for move in moves for seed in (5, 9)]
    tokens = extractor.embed(torch.stack(clips))
    likeness = cosine_similarity(tokens[:6, None, :24], tokens[None, :6, :24], dim=2)
    for index in range(6):
        others = [other for other in range(6) if other // 2 != index // 2]
        assert likeness[index, index ^ 1] > likeness[index, others].max()
    # The view moves right, so what it shows moves left.
    assert (tokens[0, :12] < 0).all()
    assert (tokens[2, :12] > 0).all()
    assert (tokens[4, 12:24] < 0).all()
    assert (tokens[6:] == 0).all()


def test_repeated_pictures_do_not_change_motion(extractors: dict[str, Extractor]) -> None:
    once = moving(1, 0)[:13]
    twice = once.repeat_interleave(2, dim=0)[:25]
    held = torch.cat([once, once[-1:].expand(12, -1, -1, -1)])
    tokens = extractors["grid-flow"].embed(torch.stack([twice, held]))
    assert torch.equal(tokens[0], tokens[1])


def test_loudness_does_not_matter_to_ina_smn(extractors: dict[str, Extractor]) -> None:
    extractor = extractors["ina-smn"]
    assert isinstance(extractor.input, SoundInput)
    voice = pieces.voice(extractor.input.rate, extractor.input.window)[None]
    assert worst(extractor.embed(voice * 0.1), extractor.embed(voice)) < 1e-3
