from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import WeightsCorrupt
from streamer.models.weights.readers import read_dlib


def number(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def text(value: str) -> bytes:
    return number(len(value)) + value.encode()


def tensor(values: np.ndarray, shape: tuple[int, int, int, int]) -> bytes:
    head = number(2) + b"".join(number(axis) for axis in shape)
    return head + values.astype("<f4").tobytes()


RNG = np.random.default_rng(0)
KERNEL, AFFINE, DENSE = (RNG.standard_normal(n).astype(np.float32) for n in (300, 8, 24))
FILE = b"".join(
    (
        text("other things") + number(70000),
        text("con_4") + tensor(KERNEL, (300, 1, 1, 1)) + number(3) * 6,
        text("relu_"),
        text("affine_") + tensor(AFFINE, (8, 1, 1, 1)) + number(1),
        text("fc_2") + number(4) + number(6) + tensor(DENSE, (6, 4, 1, 1)) + number(9),
    )
)


def test_layers_come_in_order_bit_for_bit() -> None:
    layers = read_dlib(FILE, "x")
    assert [layer.kind for layer in layers] == ["con", "affine", "fc"]
    for layer, values in zip(layers, (KERNEL, AFFINE, DENSE), strict=True):
        np.testing.assert_array_equal(layer.values, values)


def test_values_that_look_like_a_layer_are_values() -> None:
    inner = np.frombuffer((text("con_4") + b"\0").ljust(12, b"\0"), "<f4")
    layers = read_dlib(text("affine_") + tensor(inner, (3, 1, 1, 1)), "x")
    assert len(layers) == 1
    assert layers[0].values.tobytes() == inner.tobytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no layers"),
        (b"anything else", "no layers"),
        (text("con_4"), "index out of range"),
        (text("con_4") + number(1), "version 1"),
        (text("con_4") + number(2) + number(2**62) * 4, "outside the data"),
        (text("con_4") + number(2) + number(0) * 4, "outside the data"),
        (text("con_4") + b"\x09", "not a number"),
        (text("con_4") + b"\x05\x01", "truncated"),
    ],
)
def test_damage_is_reported(data: bytes, reason: str) -> None:
    with pytest.raises(WeightsCorrupt, match=f"x: .*{reason}"):
        read_dlib(data, "x")


@given(st.integers(0, len(FILE)), st.binary(max_size=8))
def test_hostile_files_raise_nothing_else(at: int, noise: bytes) -> None:
    try:
        layers = read_dlib(FILE[:at] + noise + FILE[at + len(noise) :], "x")
    except WeightsCorrupt:
        return
    assert sum(layer.values.size for layer in layers) <= len(FILE) // 4
