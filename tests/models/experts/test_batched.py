from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from streamer.models.checkpoint import load, save_moae
from streamer.models.experts.batched import MAX_BATCHED_ROWS
from streamer.models.experts.tokens import TokenBatch
from streamer.models.mixture import AspectInput
from tests.models.toy import DIMS, SMALL, toy_model

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.models.mixture import Moae

VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "one convolution": {"size": SMALL.model_copy(update={"shared_difference": True})},
    "one direction": {"size": SMALL.model_copy(update={"bidirectional": False})},
    "wider window": {"reach": 3},
    "tokens of several widths": {"size": SMALL.model_copy(update={"projection": 0})},
    "acoustic alone": {
        "experts": ("HLSS_PANNs", "HLSS_speaker"),
        "aspects": {a: AspectInput(network=f"toy-{a}", dim=DIMS[a]) for a in ("panns", "speaker")},
    },
    "multimodal alone": {
        "experts": ("MME_place_PANNs",),
        "aspects": {a: AspectInput(network=f"toy-{a}", dim=DIMS[a]) for a in ("panns", "place")},
    },
    "another order": {
        "experts": ("MME_place_PANNs", "HLSS_speaker", "MME_place_speaker", "HLSS_PANNs"),
        "aspects": {
            a: AspectInput(network=f"toy-{a}", dim=DIMS[a]) for a in ("panns", "place", "speaker")
        },
    },
}


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield None
    torch.set_num_threads(before)


def _pair(name: str) -> tuple[Moae, Moae]:
    alone, batched = toy_model(3, **VARIANTS[name]), toy_model(3, **VARIANTS[name]).batch_experts()
    assert batched.batched is not None
    return alone, batched


def _tokens(model: Moae, shots: int, random: np.random.Generator) -> dict[str, TokenBatch]:
    """Shots of 0 to 5 tokens; what lies past a shot's length is not a number."""
    held = {}
    for name, spec in model.config.aspects.items():
        longest = int(random.integers(1, 6))
        lengths = torch.from_numpy(random.integers(0, longest + 1, shots))
        tokens = torch.from_numpy(random.standard_normal((shots, longest, spec.dim))).float()
        past = torch.arange(longest)[None] >= lengths[:, None].clamp_min(1)
        held[name] = TokenBatch(tokens.masked_fill(past[..., None], torch.nan), lengths)
    return held


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("count", [1, 3])
def test_side_by_side_gives_what_one_by_one_gives(name: str, count: int) -> None:
    alone, batched = _pair(name)
    random = np.random.default_rng(count)
    torch.manual_seed(count)
    reach, length = alone.config.reach, alone.config.sequence
    with torch.inference_mode():
        for _ in range(4):
            tokens = _tokens(alone, count, random)
            ours, theirs = batched.embed(tokens), alone.embed(tokens)
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
            vectors = torch.randn(count, 2 * reach, *theirs[0].shape[1:])
            there = torch.rand(count, 2 * reach, theirs[0].shape[1]) < 0.8
            ours, theirs = (
                batched.boundary_features(vectors, there),
                alone.boundary_features(vectors, there),
            )
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
            relations = torch.randn(count, length, *theirs[0].shape[1:])
            there = torch.rand(count, length, theirs[0].shape[1]) < 0.7
            for mine, other in zip(
                batched.score_experts(relations, there),
                alone.score_experts(relations, there),
                strict=True,
            ):
                torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_many_at_once_take_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_model().batch_experts()
    assert model.batched is not None
    monkeypatch.delattr(type(model.batched), "embed")
    with torch.inference_mode():
        model.embed(_tokens(model, MAX_BATCHED_ROWS + 1, np.random.default_rng(0)))
        with pytest.raises(AttributeError):
            model.embed(_tokens(model, MAX_BATCHED_ROWS, np.random.default_rng(0)))


def test_copies_are_not_saved_and_training_drops_them(tmp_path: Path) -> None:
    model = toy_model()
    before = save_moae(model, tmp_path / "a.safetensors")
    assert save_moae(model.batch_experts(), tmp_path / "b.safetensors") == before
    loaded = load(tmp_path / "b.safetensors")
    assert loaded.batched is not None
    assert loaded.eval().batched is not None
    assert loaded.train().batched is None
