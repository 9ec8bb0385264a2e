from __future__ import annotations

import pytest
import torch

from streamer.models.experts.layers import BNet, Difference, Relation
from streamer.models.experts.tokens import boundary_windows, fill_missing


def _set(conv: torch.nn.Conv2d, weight: list[list[float]], bias: list[float]) -> None:
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(weight)[:, None, :, None])
        conv.bias.copy_(torch.tensor(bias))


WINDOW = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, -6.0], [7.0, 8.0]]])


def test_relation_by_hand() -> None:
    relation = Relation(channels=2, reach=2)
    _set(relation.conv, [[1, 0, 0, -1], [0.5, 0.5, 0.5, 0.5]], [0.0, 1.0])
    # Channel 0: 1-7 = -6, 2-8 = -6. Channel 1: 16/2+1 = 9, 8/2+1 = 5. Max over channels.
    torch.testing.assert_close(relation(WINDOW), torch.tensor([[9.0, 5.0]]))


def test_relation_takes_the_highest_channel_feature_by_feature() -> None:
    relation = Relation(channels=2, reach=2)
    _set(relation.conv, [[0, 0, 1, 0], [0, 1, 0, 0]], [0.0, 0.0])
    # Channel 0: 5, -6. Channel 1: 3, 4.
    torch.testing.assert_close(relation(WINDOW), torch.tensor([[5.0, 4.0]]))


def test_difference_by_hand() -> None:
    difference = Difference(channels=2, reach=2, shared=True)
    _set(difference.before, [[1, 0], [1, 1]], [0.0, 1.0])
    # Channel 0: (1,2) and (5,-6): (5 - 12) / sqrt(5 * 61). Channel 1: (5,7), (13,3).
    expected = [-7 / (5 * 61) ** 0.5, (65 + 21) / (74 * 178) ** 0.5]
    torch.testing.assert_close(difference(WINDOW), torch.tensor([expected]))


def test_separate_convolutions_see_their_own_half() -> None:
    difference = Difference(channels=1, reach=2, shared=False)
    assert difference.after is not None
    _set(difference.before, [[1, 0]], [0.0])
    _set(difference.after, [[0, 1]], [0.0])
    expected = (7 + 16) / (5 * 113) ** 0.5
    torch.testing.assert_close(difference(WINDOW), torch.tensor([[expected]]))


def _convolved(bnet: BNet, windows: torch.Tensor) -> torch.Tensor:
    """The definition, step by step."""
    assert bnet.relation is not None
    image = windows[:, None]
    relation = bnet.relation.conv(image)[:, :, 0].amax(dim=1)
    difference = bnet.difference
    halves = (
        difference.before(image[:, :, :2])[:, :, 0],
        (difference.after or difference.before)(image[:, :, 2:])[:, :, 0],
    )
    return torch.cat((relation, torch.cosine_similarity(*halves, dim=2)), dim=1)


@pytest.mark.parametrize("shared", [True, False])
def test_matches_the_convolutions_it_stands_for(shared: bool) -> None:
    torch.manual_seed(0)
    bnet = BNet(channels=6, reach=2, shared=shared)
    for parameter in bnet.parameters():
        torch.nn.init.normal_(parameter)
    windows = torch.randn(9, 4, 5, requires_grad=True)
    weighed = torch.randn(9, 11)
    torch.testing.assert_close(bnet(windows), _convolved(bnet, windows))
    with torch.inference_mode():
        torch.testing.assert_close(bnet(windows), _convolved(bnet, windows))
    wanted = (windows, *bnet.parameters())
    ours = torch.autograd.grad((bnet(windows) * weighed).sum(), wanted)
    theirs = torch.autograd.grad((_convolved(bnet, windows) * weighed).sum(), wanted)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_shots_that_nearly_cancel_are_compared_as_exactly_as_they_are_given() -> None:
    difference = Difference(channels=1, reach=2, shared=True)
    _set(difference.before, [[1, -1]], [0.0])
    shot = torch.full((8,), 3.0)
    apart = torch.zeros(8)
    apart[0], other = 2.0**-18, torch.zeros(8)
    other[0] = other[1] = 2.0**-18
    windows = torch.stack((shot + apart, shot, shot + other, shot))[None]
    torch.testing.assert_close(difference(windows), torch.tensor([[0.5**0.5]]))


def test_silence_has_neither_direction_nor_slope() -> None:
    bnet = BNet(3, 2)
    windows = torch.zeros(2, 4, 5, requires_grad=True)
    bnet(windows).sum().backward()
    assert bnet(windows)[:, 5:].abs().max() == 0
    assert windows.grad is not None
    assert torch.isfinite(windows.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in bnet.parameters() if p.grad is not None)


def test_many_windows_are_judged_like_few() -> None:
    torch.manual_seed(0)
    bnet = BNet(512, 2)
    windows = torch.randn(40, 4, 512)
    with torch.inference_mode():
        torch.testing.assert_close(bnet(windows)[31:33], bnet(windows[31:33]))


@pytest.mark.parametrize("count", [1, 3])
def test_shapes(count: int) -> None:
    assert BNet(6, 2)(torch.randn(count, 4, 5)).shape == (count, 11)
    assert BNet(6, 2, relation=False)(torch.randn(count, 4, 5)).shape == (count, 6)
    assert BNet(6, 3)(torch.randn(count, 6, 5)).shape == (count, 11)


def test_shared_halves_have_one_set_of_parameters() -> None:
    shared = sum(p.numel() for p in Difference(4, 2, shared=True).parameters())
    separate = sum(p.numel() for p in Difference(4, 2, shared=False).parameters())
    assert separate == 2 * shared


def test_outer_shots_that_are_absent_are_replaced_by_their_inner_neighbours() -> None:
    windows = torch.arange(6.0)[None, :, None].expand(1, 6, 2)
    present = torch.tensor([[False, False, True, True, True, False]])
    assert fill_missing(windows, present, 3)[0, :, 0].tolist() == [2, 2, 2, 3, 4, 4]


def test_windows_of_boundaries_and_their_presence() -> None:
    vectors = torch.arange(5.0)[None, :, None]
    present = torch.tensor([[True, True, True, False, True]])
    windows, there = boundary_windows(vectors, present, 2)
    assert windows.shape == (1, 2, 4, 1)
    assert windows[0, 0, :, 0].tolist() == [0, 1, 2, 2]
    assert there.tolist() == [[True, False]]
