from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from streamer.errors import ConfigError
from streamer.models.catalogue import EXPERT_ROWS, ROWS, find_row
from streamer.models.experts.expert import CombinedExpert, ExpertSize, build_expert
from streamer.models.experts.layers import SPECTROGRAM_DIM
from streamer.models.experts.tokens import Moments, Projection, TokenBatch
from tests.models.toy import SMALL

if TYPE_CHECKING:
    from streamer.models.experts.expert import Expert

DIMS = dict.fromkeys(
    ("place", "cast", "action", "stft", "speaker", "vggish", "panns", "openl3", "musicnn"), 6
)
L = 4


def _batch(expert: Expert, sequences: int, seed: int = 0) -> dict[str, TokenBatch]:
    generator = torch.Generator().manual_seed(seed)
    shots = sequences * (L + 3)
    return {
        aspect: TokenBatch(
            torch.randn(shots, 3, 6, generator=generator),
            torch.randint(1, 4, (shots,), generator=generator),
        )
        for aspect in expert.aspects
    }


@pytest.mark.parametrize("row", [r for r in ROWS if r.table == 2], ids=lambda r: r.name)
def test_every_row_of_table_two_is_a_model(row: object) -> None:
    name = row.name  # type: ignore[attr-defined] # a Row; typed loosely for ids
    torch.manual_seed(0)
    expert = build_expert(name, DIMS, SMALL, 2).eval()
    judged = expert(_batch(expert, 2), 2)
    assert judged.hidden.shape == (2, L, SMALL.hidden)
    assert judged.logits.shape == (2, L, 2)
    assert bool(judged.present.all())
    judged.logits.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in expert.parameters())


def test_paper_sizes() -> None:
    size = ExpertSize.paper()
    torch.manual_seed(0)
    expert = build_expert("MME_place_PANNs", {"place": 2048, "panns": 512}, size, 2)
    assert expert.relation_width("place") == 512 + 512
    windows = torch.randn(1, 4, 512)
    assert expert.boundary_features("place", windows).shape == (1, 1024)
    spectrogram = build_expert("HLSS_STFT", {"stft": SPECTROGRAM_DIM}, size, 2)
    # The base network describes spectrograms by difference alone.
    assert spectrogram.boundary_features("stft", windows).shape == (1, 512)


def test_ten_experts_in_the_order_of_the_table() -> None:
    assert [row.name for row in EXPERT_ROWS] == [
        "HLSS_PANNs",
        "HLSS_speaker",
        "HLSS_Musicnn",
        "HLSS_Openl3",
        "HLSS_VGGish",
        "MME_place_speaker",
        "MME_place_PANNs",
        "MME_place_Musicnn",
        "MME_place_Openl3",
        "MME_place_VGGish",
    ]


def test_an_acoustic_expert_is_absent_next_to_a_shot_without_its_sound() -> None:
    torch.manual_seed(0)
    expert = build_expert("HLSS_PANNs", DIMS, SMALL, 2).eval()
    batch = _batch(expert, 1)
    # Boundary position p lies between shots p+1 and p+2 of the run.
    batch["panns"].lengths[3] = 0
    judged = expert(batch, 1)
    assert judged.present.tolist() == [[True, False, False, True]]
    assert bool((judged.probability[0, 1:3] == 0).all())
    assert not judged.hidden[0, 1:3].any()


def test_a_multimodal_expert_goes_on_without_sound_but_not_without_place() -> None:
    torch.manual_seed(0)
    expert = build_expert("MME_place_PANNs", DIMS, SMALL, 2).eval()
    batch = _batch(expert, 1)
    mute = {
        "place": batch["place"],
        "panns": batch["panns"].without(torch.ones(7, dtype=torch.bool)),
    }
    judged = expert(mute, 1)
    assert bool(judged.present.all())
    noisy = TokenBatch(batch["panns"].tokens * 1e3, mute["panns"].lengths)
    torch.testing.assert_close(expert({**mute, "panns": noisy}, 1).logits, judged.logits)
    assert not torch.allclose(expert(batch, 1).logits, judged.logits)
    blind = {
        "panns": batch["panns"],
        "place": batch["place"].without(torch.ones(7, dtype=torch.bool)),
    }
    assert not expert(blind, 1).present.any()


def test_order_of_aspects_does_not_matter() -> None:
    torch.manual_seed(0)
    expert = build_expert("MME_place_speaker", DIMS, SMALL, 2).eval()
    batch = _batch(expert, 2)
    torch.testing.assert_close(
        expert(dict(reversed(batch.items())), 2).logits, expert(batch, 2).logits, rtol=0, atol=0
    )


def test_combine_sums_logits_by_fixed_weights() -> None:
    torch.manual_seed(0)
    expert = build_expert("HLSS_combine", DIMS, SMALL, 2).eval()
    assert isinstance(expert, CombinedExpert)
    batch = _batch(expert, 1)
    relations = {a: torch.randn(1, L, expert.relation_width(a)) for a in expert.aspects}
    present = {a: torch.ones(1, L, dtype=torch.bool) for a in expert.aspects}
    parts = {a: expert.heads[a](relations[a], present[a]).logits for a in expert.aspects}
    expected = (
        0.5 * parts["place"] + 0.2 * parts["cast"] + 0.2 * parts["action"] + 0.1 * parts["stft"]
    )
    torch.testing.assert_close(expert.score(relations, present).logits, expected)
    present["cast"] = torch.zeros(1, L, dtype=torch.bool)
    without = (0.5 * parts["place"] + 0.2 * parts["action"] + 0.1 * parts["stft"]) / 0.8
    torch.testing.assert_close(expert.score(relations, present).logits, without)
    assert bool(expert(batch, 1).present.all())


def test_unknown_rows_and_missing_aspects_are_named() -> None:
    with pytest.raises(ConfigError, match="HLSS_smell"):
        find_row("HLSS_smell")
    with pytest.raises(ConfigError, match="'panns'"):
        build_expert("HLSS_PANNs", {"place": 3}, SMALL, 2)
    with pytest.raises(ConfigError, match="combines experts"):
        build_expert("MOAE_A", DIMS, SMALL, 2)


def test_projection_keeps_the_main_components_and_goes_half_way_to_whitening() -> None:
    random = np.random.default_rng(0)
    tokens = (random.standard_normal((4000, 6)) @ random.standard_normal((6, 6))) + 7.0
    projection = Projection(6, 3)
    moments = Moments(projection)
    for part in np.array_split(tokens, 7):
        moments.add(part)
    projection.fit(moments)
    scaled = projection(torch.from_numpy(tokens.astype(np.float32))).numpy()
    assert scaled.shape == (4000, 3)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-2)
    covariance = np.cov(scaled.T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0.0, atol=2e-2)
    assert np.diag(covariance).mean() == pytest.approx(1.0, abs=1e-3)
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(tokens.T)))[::-1][:3]
    ratio = np.sqrt(eigenvalues[0] / eigenvalues[2])
    assert covariance[0, 0] / covariance[2, 2] == pytest.approx(ratio, rel=0.05)
    assert float(projection(torch.full((1, 6), 1e9)).abs().max()) <= 8.0


def test_projection_without_reduction_only_standardises() -> None:
    tokens = np.random.default_rng(0).standard_normal((500, 4)) * [1, 10, 100, 5] + 3.0
    projection = Projection(4, 0)
    moments = Moments(projection)
    moments.add(tokens)
    projection.fit(moments)
    scaled = projection(torch.from_numpy(tokens.astype(np.float32))).numpy()
    correlation = np.corrcoef(np.concatenate((scaled, tokens), axis=1).T)[:4, 4:]
    np.testing.assert_allclose(np.diag(correlation), 1.0, atol=1e-3)
    with pytest.raises(ValueError, match="no tokens"):
        projection.fit(Moments(projection))
