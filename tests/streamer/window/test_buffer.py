from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.window.scorer import SlidingBuffer


@given(width=st.integers(1, 8), items=st.lists(st.integers(), max_size=30), extra=st.integers(0, 9))
def test_is_the_tail_of_the_items_with_both_ends_repeated(
    width: int, items: list[int], extra: int
) -> None:
    buffer: SlidingBuffer[int] = SlidingBuffer(width)
    padded = [items[0]] * (width - 1) if items else []
    for item in items:
        padded.append(item)
        assert buffer.push(item) == tuple(padded[-width:])
    if items:
        for _ in range(extra):
            padded.append(items[-1])
            assert buffer.repeat() == tuple(padded[-width:])
    assert buffer.window() == tuple(padded[-width:])


def test_repeating_nothing_is_an_error() -> None:
    with pytest.raises(IndexError):
        SlidingBuffer[int](4).repeat()


def test_goes_on_from_what_it_held() -> None:
    one, two = SlidingBuffer[int](4), SlidingBuffer[int](4)
    for item in range(6):
        one.push(item)
    two.fill(one.window())
    assert two.push(6) == one.push(6) == (3, 4, 5, 6)
    two.fill(())
    assert two.push(9) == (9, 9, 9, 9)
    with pytest.raises(ValueError, match="cannot be filled with 2"):
        two.fill((1, 2))


def test_width_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SlidingBuffer[int](0)
