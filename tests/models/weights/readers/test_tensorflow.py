from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import WeightsCorrupt
from streamer.models.weights.protobuf import read_tensorflow
from tests.models.weights.readers.wire import field, varint

FLOAT, STRING = 1, 7


def block(entries: list[tuple[bytes, bytes]], *, compressed: bool = False) -> bytes:
    """A table block with shared key prefixes, one restart point, and its trailer."""
    out, last = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    return out + struct.pack("<II", 0, 1) + bytes([compressed]) + b"\0\0\0\0"


def checkpoint(tensors: dict[str, np.ndarray], *, compressed: bool = False) -> tuple[bytes, bytes]:
    data, entries = b"", [(b"", field(1, 1))]
    for name, array in sorted(tensors.items()):
        shape = b"".join(field(2, field(1, side)) for side in array.shape)
        entry = field(1, FLOAT) + field(2, shape) + field(4, len(data)) + field(5, array.nbytes)
        entries.append((name.encode(), entry))
        data += array.tobytes()
    entries.append((b"zz_text", field(1, STRING) + field(5, 3)))
    first = block(entries, compressed=compressed)
    handle = varint(0) + varint(len(first) - 5)
    second = block([(b"zzz", handle)])
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(second) - 5)
    magic = struct.pack("<Q", 0xDB4775248B80FB57)
    return first + second + footer.ljust(40, b"\0") + magic, data


TENSORS = {
    "conv2d/bias": np.arange(3, dtype="<f4"),
    "conv2d/kernel": np.arange(24, dtype="<f4").reshape(2, 3, 1, 4),
    "scalar": np.array(7.5, dtype="<f4"),
}


def test_tensors_come_back_and_text_is_left_out() -> None:
    found = read_tensorflow(*checkpoint(TENSORS), "fine")
    assert set(found) == set(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape


def test_compressed_blocks_are_refused() -> None:
    with pytest.raises(WeightsCorrupt, match="packed: compressed"):
        read_tensorflow(*checkpoint(TENSORS, compressed=True), "packed")


def test_short_data_is_refused() -> None:
    index, data = checkpoint(TENSORS)
    with pytest.raises(WeightsCorrupt, match="scalar lies outside"):
        read_tensorflow(index, data[:-1], "short")


@pytest.mark.parametrize("index", [b"", b"\0" * 48, b"x" * 200])
def test_other_files_are_refused(index: bytes) -> None:
    with pytest.raises(WeightsCorrupt, match="not a TensorFlow table"):
        read_tensorflow(index, b"", "other")


@given(st.data())
def test_damage_is_refused_or_leaves_arrays(draw: st.DataObject) -> None:
    index, data = checkpoint(TENSORS)
    at = draw.draw(st.integers(0, len(index) - 9))
    damaged = index[:at] + bytes([draw.draw(st.integers(0, 255))]) + index[at + 1 :]
    try:
        found = read_tensorflow(damaged, data, "damaged")
    except WeightsCorrupt:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())
