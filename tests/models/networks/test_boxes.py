from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.models.networks.mtcnn import cut_out, inside, moved, squared, suppress

BOX = st.tuples(*(st.integers(0, 40),) * 2, *(st.integers(1, 30),) * 2, st.integers(0, 9))


def overlap(a: list[float], b: list[float], of: str, border: int) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + border)
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + border)
    first, second = ((c[2] - c[0] + border) * (c[3] - c[1] + border) for c in (a, b))
    whole = first + second - wide * high if of == "union" else min(first, second)
    return wide * high / whole


@given(
    st.lists(BOX, max_size=25),
    st.sampled_from([0.3, 0.5, 0.7]),
    st.sampled_from(["union", "smaller"]),
    st.sampled_from([0, 1]),
    st.integers(1, 30),
)
def test_suppression_one_box_at_a_time(
    drawn: list[tuple[int, ...]],
    limit: float,
    of: Literal["union", "smaller"],
    border: int,
    most: int,
) -> None:
    boxes = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h, _ in drawn]
    scores = [score / 10 for *_, score in drawn]
    expected: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i])[:most]:
        if all(overlap(boxes[index], boxes[k], of, border) <= limit + 1e-6 for k in expected):
            expected.append(index)
    found = suppress(
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor(scores),
        limit + 1e-6,
        most=most,
        of=of,
        border=border,
    )
    assert found.tolist() == expected


def test_squares_keep_the_centre() -> None:
    found = squared(torch.tensor([[0.0, 0.0, 4.0, 10.0], [2.0, 2.0, 8.0, 4.0]]))
    assert found.tolist() == [[-3.0, 0.0, 7.0, 10.0], [2.0, 0.0, 8.0, 6.0]]


@pytest.mark.parametrize(("border", "expected"), [(0, [1.0, 0.0, 9.0, 24.0]), (1, None)])
def test_sides_move_by_shares_of_the_size(border: int, expected: list[float] | None) -> None:
    box = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    found = moved(box, torch.tensor([[0.1, 0.0, -0.1, 0.2]]), border)[0]
    torch.testing.assert_close(found, torch.tensor(expected or [1.1, 0.0, 8.9, 24.2]))


def test_cut_out_takes_whole_pixels_of_the_picture() -> None:
    picture = torch.arange(48.0).reshape(1, 6, 8).repeat(3, 1, 1)
    boxes = torch.tensor([[-5.0, -5.0, 2.9, 2.9], [7.2, 5.1, 30.0, 30.0], [9.0, 1.0, 12.0, 3.0]])
    pixels = inside(boxes, 6, 8)
    assert pixels.tolist() == [[1, 1, 2, 2], [7, 5, 8, 6], [9, 1, 8, 3]]
    parts = cut_out(picture, pixels[:2], 2)
    assert parts[0, 0].tolist() == [[0.0, 1.0], [8.0, 9.0]]
    assert parts[1, 0].tolist() == [[38.0, 39.0], [46.0, 47.0]]
    assert cut_out(picture, pixels[:0], 2).shape == (0, 3, 2, 2)
