from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.models.experts.layers import MultimodalAttention


@settings(max_examples=30, deadline=None)
@given(
    modalities=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    mask=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_rows_sum_to_one_over_what_is_there(modalities: int, seed: int, mask: list[bool]) -> None:
    torch.manual_seed(seed)
    attention = MultimodalAttention(modalities, 6)
    present = torch.tensor(mask[:modalities]).expand(2, 3, modalities)
    weights = attention.attend(torch.randn(2, 3, modalities, 6) * 5, present)
    torch.testing.assert_close(weights.sum(dim=-1), present.float())
    assert bool((weights[..., ~present[0, 0]] == 0).all())


def test_by_hand() -> None:
    attention = MultimodalAttention(2, 1)
    with torch.no_grad():
        attention.query.copy_(torch.tensor([[[1.0]], [[2.0]]]))
        attention.key.copy_(torch.tensor([[[1.0]], [[0.5]]]))
        attention.value.copy_(torch.tensor([[[3.0]], [[-1.0]]]))
    modalities = torch.tensor([[[1.0], [2.0]]])
    present = torch.ones(1, 2, dtype=torch.bool)
    # Keys 1 and 1: every query sees both alike; values 3 and -2.
    fused = attention(modalities, present)
    torch.testing.assert_close(fused, torch.tensor([[0.5, 0.5, 1.0, 2.0]]))


def test_scale_is_the_root_of_the_width() -> None:
    torch.manual_seed(3)
    attention = MultimodalAttention(2, 9)
    modalities = torch.randn(1, 2, 9)
    present = torch.ones(1, 2, dtype=torch.bool)
    query = torch.stack([modalities[:, m] @ attention.query[m] for m in range(2)], dim=1)
    key = torch.stack([modalities[:, m] @ attention.key[m] for m in range(2)], dim=1)
    expected = (query @ key.transpose(1, 2) / 3.0).softmax(dim=-1)
    torch.testing.assert_close(attention.attend(modalities, present), expected)


def test_an_absent_modality_neither_speaks_nor_is_heard() -> None:
    torch.manual_seed(1)
    attention = MultimodalAttention(2, 4)
    modalities = torch.randn(5, 2, 4)
    present = torch.tensor([True, False]).expand(5, 2)
    other = modalities.clone()
    other[:, 1] = 1e6
    alone = attention(modalities, present)
    torch.testing.assert_close(alone, attention(other, present))
    value = modalities[:, 0] @ attention.value[0]
    torch.testing.assert_close(alone[:, :4], value)
    assert bool((alone.reshape(5, 4, 4)[:, [1, 3]] == 0).all())


def test_permuting_modalities_permutes_the_result() -> None:
    torch.manual_seed(2)
    attention, swapped = MultimodalAttention(2, 4), MultimodalAttention(2, 4)
    with torch.no_grad():
        for mine, theirs in zip(swapped.parameters(), attention.parameters(), strict=True):
            mine.copy_(theirs.flip(0))
    modalities, present = torch.randn(3, 2, 4), torch.ones(3, 2, dtype=torch.bool)
    one = attention(modalities, present).reshape(3, 2, 2, 4)
    two = swapped(modalities.flip(1), present).reshape(3, 2, 2, 4).flip(2)
    torch.testing.assert_close(one, two)


def test_nothing_there_gives_zeros_not_nan() -> None:
    attention = MultimodalAttention(2, 3)
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    assert not attention(torch.randn(1, 2, 3), nothing).any()
