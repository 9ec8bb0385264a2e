"""A seal gives back what was sealed, or an error that names the place."""

from __future__ import annotations

import hashlib
import struct
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamer.errors import StateDamaged, StateError
from streamer.saved import (
    OVERHEAD,
    Kind,
    most_bytes,
    pack_arrays,
    seal,
    unpack_arrays,
    unseal,
)

KINDS: tuple[Kind, ...] = get_args(Kind)
WHOLE = seal("window", '{"a": 1}', bytes(range(64)))


def renewed(data: bytearray) -> bytes:
    """With a checksum that matches."""
    data[24:56] = hashlib.sha256(bytes(data[:24] + data[56:])).digest()
    return bytes(data)


@pytest.mark.parametrize("kind", KINDS)
@given(st.text(max_size=40), st.binary(max_size=200))
def test_a_round_trip(kind: Kind, header: str, body: bytes) -> None:
    header = "" if kind == "event" else header
    data = seal(kind, header, body)
    assert len(data) == OVERHEAD + len(header.encode()) + len(body)
    assert unseal(data, kind, "here") == (header.encode(), body)
    for other in KINDS:
        if other != kind:
            with pytest.raises(StateDamaged, match="here: not a saved"):
                unseal(data, other, "here")


def test_no_flipped_bit_and_no_cut_is_taken() -> None:
    for bit in range(8 * len(WHOLE)):
        broken = bytearray(WHOLE)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateDamaged, match="here: "):
            unseal(bytes(broken), "window", "here")
    for length in range(len(WHOLE)):
        with pytest.raises(StateDamaged):
            unseal(WHOLE[:length], "window", "here")
    with pytest.raises(StateDamaged):
        unseal(WHOLE + b"\0", "window", "here")


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1))
def test_whatever_is_changed_is_noticed(changes: list[tuple[int, int]]) -> None:
    broken = bytearray(WHOLE)
    for at, value in changes:
        broken[at] = value
    if broken == WHOLE:
        assert unseal(bytes(broken), "window", "here").header == b'{"a": 1}'
        return
    with pytest.raises(StateDamaged):
        unseal(bytes(broken), "window", "here")


def test_only_what_is_whole_counts_as_newer() -> None:
    for at in (4, 6):
        newer = bytearray(WHOLE)
        newer[at] += 1
        with pytest.raises(StateError, match="here: written by a newer version") as caught:
            unseal(renewed(newer), "window", "here")
        assert not isinstance(caught.value, StateDamaged)
    older = bytearray(WHOLE)
    older[6] -= 1
    with pytest.raises(StateDamaged):
        unseal(renewed(older), "window", "here")


def test_lengths_that_lie_with_a_checksum_that_matches() -> None:
    for head, body in ((0, 0), (8, 63), (9, 64), (1 << 31, 64), (72, 0), (8, 1 << 31)):
        lying = bytearray(WHOLE)
        struct.pack_into("<II", lying, 16, head, body)
        if head + body == 72:
            assert len(unseal(renewed(lying), "window", "here").header) == head
            continue
        with pytest.raises(StateDamaged, match="lengths"):
            unseal(renewed(lying), "window", "here")


def test_limits() -> None:
    with pytest.raises(ValueError, match="too many"):
        seal("event", "{}")
    with pytest.raises(ValueError, match="too many"):
        seal("shot", "", bytes(most_bytes("shot")))
    with pytest.raises(StateDamaged, match="too large"):
        unseal(bytes(most_bytes("shot") + 1), "shot", "here")


def test_arrays() -> None:
    arrays: dict[str, NDArray[Any]] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([], np.uint8),
    }
    found = unpack_arrays(pack_arrays(arrays), "here")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    for wrong in (b"", b"\xff" * 40, pack_arrays(arrays)[:-1]):
        with pytest.raises(StateDamaged, match="here: "):
            unpack_arrays(wrong, "here")
