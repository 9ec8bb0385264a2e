"""The wait that other tests rely on ends, one way or the other."""

from __future__ import annotations

import itertools

import pytest

from tests.waiting import until


def test_it_is_over_as_soon_as_the_condition_holds() -> None:
    asked = itertools.count()
    until(lambda: next(asked) == 3, "the fourth question")
    assert next(asked) == 4
    until(lambda: True, "nothing", seconds=0.0)


def test_what_never_comes_is_named() -> None:
    with pytest.raises(AssertionError, match=r"not after 0\.05 s: godot"):
        until(lambda: False, "godot", seconds=0.05)
    with pytest.raises(AssertionError, match=r"not after 0 s: \['vladimir'\]"):
        until(list, lambda: ["vladimir"], seconds=0.0)
