from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import DatasetError
from streamer.models.tables.folds import check_folds, make_folds


@given(st.integers(2, 12), st.integers(0, 30), st.integers(0, 5))
def test_every_movie_is_tested_once(folds: int, more: int, seed: int) -> None:
    names = [f"m{i}" for i in range(folds + more)]
    dealt = make_folds(names, folds, seed)
    assert sorted(name for test in dealt for name in test) == sorted(names)
    sizes = {len(test) for test in dealt}
    assert max(sizes) - min(sizes) <= 1
    assert dealt == make_folds(names, folds, seed)


def test_the_seed_deals() -> None:
    names = [f"m{i}" for i in range(10)]
    assert len({make_folds(names, 5, seed) for seed in range(5)}) > 1


def test_too_few_movies_are_counted() -> None:
    with pytest.raises(
        DatasetError, match="5 folds by movie need at least 5 movies, there is only 1"
    ):
        make_folds(["a"], 5, 0)
    with pytest.raises(DatasetError, match="there are only 3 movies; use fewer --folds"):
        make_folds(["a", "b", "c"], 5, 0)
    with pytest.raises(DatasetError, match="at least 2 folds"):
        make_folds(["a"], 1, 0)


def test_folds_with_nothing_to_find_or_to_learn_are_named() -> None:
    counts = {"a": (10, 2), "b": (10, 0), "c": (1, 0)}
    check_folds([["a", "b"], ["c"]][:1], counts | {"c": (5, 1)})
    with pytest.raises(DatasetError, match=r"fold 2 \(b, c\) has no scene boundary to find"):
        check_folds([["a"], ["b", "c"]], counts | {"b": (10, 0), "d": (3, 1)})
    with pytest.raises(DatasetError, match=r"outside fold 1 \(a\) there is no scene boundary"):
        check_folds([["a"], ["b", "c"]], counts)
