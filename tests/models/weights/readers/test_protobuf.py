from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.models.weights.protobuf import (
    chunks,
    number,
    numbers,
    read_message,
    read_varint,
    text,
)
from tests.models.weights.readers.wire import varint


@given(value=st.integers(0, 2**64 - 1), before=st.binary(max_size=3))
def test_numbers_come_back(value: int, before: bytes) -> None:
    data = before + varint(value)
    assert read_varint(data, len(before)) == (value, len(data))


def test_a_message_by_hand() -> None:
    # Field 1 = 150 (the format's own example), 2 = "testing", 3 packed 3, 270, 5 fixed32.
    data = bytes.fromhex("089601 120774657374696e67 1a03 038e02 2d01000000")
    message = read_message(data)
    assert number(message, 1) == 150
    assert text(message, 2) == "testing"
    assert numbers(message, 3) == [3, 270]
    assert chunks(message, 5) == [b"\x01\x00\x00\x00"]
    assert (number(message, 9, 4), text(message, 9)) == (4, "")


@pytest.mark.parametrize("data", ["08", "0880", "1205ab", "0b", "2d0000", "08" + "ff" * 11])
def test_damage_is_an_error(data: str) -> None:
    with pytest.raises(ValueError, match=r"truncated|too long|wire type"):
        read_message(bytes.fromhex(data))


@given(data=st.binary(max_size=100))
def test_garbage_never_does_worse_than_value_error(data: bytes) -> None:
    try:
        fields = read_message(data)
    except ValueError:
        return
    assert sum(len(values) for values in fields.values()) <= len(data)
