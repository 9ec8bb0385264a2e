from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.models.experts.layers import SPECTROGRAM_DIM, ShotEmbedding, SpectrogramEmbedding
from streamer.models.experts.tokens import TokenBatch, pad_tokens, thinned

CPU = torch.device("cpu")


def _shots(lengths: list[int], dim: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal((n, dim)).astype(np.float32) for n in lengths]


def test_is_the_final_hidden_state_of_each_shot_alone() -> None:
    torch.manual_seed(0)
    embedding = ShotEmbedding(5, 7)
    shots = _shots([3, 1, 6, 0])
    vectors = embedding(pad_tokens(shots, 5, 16, CPU))
    assert vectors.shape == (4, 7)
    for shot, vector in zip(shots[:3], vectors, strict=False):
        _, (final, _) = embedding.lstm(torch.from_numpy(shot)[None])
        torch.testing.assert_close(vector, final[0, 0], rtol=0, atol=1e-6)
    assert not vectors[3].any()


def test_padding_is_never_read() -> None:
    torch.manual_seed(0)
    embedding = ShotEmbedding(5, 7)
    batch = pad_tokens(_shots([2, 4]), 5, 16, CPU)
    dirty = batch.tokens.clone()
    dirty[0, 2:] = float("nan")
    torch.testing.assert_close(embedding(TokenBatch(dirty, batch.lengths)), embedding(batch))


@given(count=st.integers(0, 400), limit=st.integers(1, 50))
def test_thinning_keeps_order_ends_and_limit(count: int, limit: int) -> None:
    kept = thinned(count, limit)
    assert len(kept) == min(count, limit)
    assert bool((np.diff(kept) > 0).all())
    if limit > 1 and count > 1:
        assert (kept[0], kept[-1]) == (0, count - 1)


def test_spectrograms_of_a_shot_are_averaged_and_absent_ones_are_zero() -> None:
    torch.manual_seed(0)
    embedding = SpectrogramEmbedding(6)
    tokens = torch.randn(3, 2, SPECTROGRAM_DIM)
    both = embedding(TokenBatch(tokens, torch.tensor([2, 1, 0])))
    first = embedding(TokenBatch(tokens[:, :1], torch.tensor([1, 1, 0])))
    second = embedding(TokenBatch(tokens[:, 1:], torch.tensor([1, 1, 0])))
    assert both.shape == (3, 6)
    torch.testing.assert_close(both[0], (first[0] + second[0]) / 2)
    torch.testing.assert_close(both[1], first[1])
    assert not both[2].any()
