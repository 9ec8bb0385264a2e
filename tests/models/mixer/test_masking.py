from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.models.mixer.mixer import (
    Mixer,
    consecutive_scores,
    masked_experts,
    masked_softmax,
    renormalise,
)
from tests.models.toy import toy_model

E = 10


def test_scores_add_up_runs_of_predicted_boundaries() -> None:
    probability = torch.tensor([0.9, 0.6, 0.1, 0.8, 0.2, 0.7, 0.7, 0.7])[None, :, None]
    present = torch.ones_like(probability, dtype=torch.bool)
    # Runs: 0.9 + 0.6 and three times 0.7; the single 0.8 is no run.
    torch.testing.assert_close(consecutive_scores(probability, present), torch.tensor([[3.6]]))
    torch.testing.assert_close(
        consecutive_scores(probability, present, shortest=1), torch.tensor([[4.4]])
    )
    present[0, 6] = False
    torch.testing.assert_close(consecutive_scores(probability, present), torch.tensor([[1.5]]))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), highest=st.integers(0, 5))
def test_exactly_the_k_highest_are_masked_when_all_are_there(seed: int, highest: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(3, E, generator=generator) + 0.01
    masked = masked_experts(scores, torch.ones(3, E, dtype=torch.bool), highest)
    assert masked.sum(dim=-1).tolist() == [highest] * 3
    for row, dropped in zip(scores, masked, strict=True):
        if highest:
            assert row[dropped].min() > row[~dropped].max()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), there=st.integers(0, E))
def test_with_fewer_experts_some_always_remain(seed: int, there: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    present = (torch.randperm(E, generator=generator) < there)[None]
    masked = masked_experts(torch.rand(1, E, generator=generator) + 0.01, present, 3)
    assert not (masked & ~present).any()
    assert masked.sum().item() == 3 * there // E


def test_experts_without_consecutive_boundaries_are_never_masked() -> None:
    scores = torch.tensor([[0.0, 2.0, 0.0, 0.0]])
    masked = masked_experts(scores, torch.ones(1, 4, dtype=torch.bool), 3)
    assert masked.tolist() == [[False, True, False, False]]


def test_weights_sum_to_one_over_those_that_are_there() -> None:
    torch.manual_seed(0)
    mixer = Mixer(E, 6, toy_model().config.mixer).eval()
    present = torch.rand(4, 7, E) > 0.4
    present[0, 0] = False
    weights = mixer(torch.randn(4, 7, E, 6), present)
    torch.testing.assert_close(weights.sum(dim=-1), present.any(dim=-1).float())
    assert not weights[~present].any()


def test_masked_weights_are_zero_and_the_rest_keep_their_proportions() -> None:
    weights = masked_softmax(torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 3, dtype=torch.bool))
    kept = renormalise(weights, torch.tensor([[False, False, True]]))
    assert kept[0, 2] == 0
    torch.testing.assert_close(kept.sum(), torch.tensor(1.0))
    torch.testing.assert_close(kept[0, 1] / kept[0, 0], weights[0, 1] / weights[0, 0])
    torch.testing.assert_close(renormalise(weights, torch.ones(1, 3, dtype=torch.bool)), weights)


def test_the_mixture_masks_its_k_highest() -> None:
    model = toy_model(row="MOAE_A")
    free = toy_model(row="MOAE_Dvar")
    torch.manual_seed(1)
    hidden = torch.randn(6, 10, E, model.config.size.hidden)
    probability = torch.rand(6, 10, E) * 0.5 + 0.45
    present = torch.ones(6, 10, E, dtype=torch.bool)
    mixed = model.mix(hidden, probability, present)
    scores = consecutive_scores(probability, present)
    assert bool((scores > 0).sum(dim=-1).ge(3).all())
    for sequence in range(6):
        highest = set(scores[sequence].topk(3).indices.tolist())
        zero = {e for e in range(E) if not mixed.weights[sequence, :, e].any()}
        assert zero == highest
    torch.testing.assert_close(mixed.weights.sum(dim=-1), torch.ones(6, 10))
    torch.testing.assert_close(mixed.free_weights, free.mix(hidden, probability, present).weights)
