"""TensorFlow V2 checkpoints: a sorted table of entries beside one file of raw tensors."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt
from streamer.models.weights.readers.protobuf import chunks, number, read_message, read_varint

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
# tensorflow.DataType of the kinds that weights come in.
_TYPES: dict[int, np.dtype[np.generic]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}


def read_tensorflow(index: bytes, data: bytes, name: str) -> dict[str, NDArray[np.generic]]:
    """Reads every numeric tensor of a single-shard checkpoint.

    Args:
        index: The ``.index`` file, uncompressed blocks.
        data: The ``.data-00000-of-00001`` file.
        name: What to call it in an error.

    Returns:
        Tensor name → array.

    Raises:
        WeightsCorrupt: A file is damaged or of another kind.
    """
    try:
        return dict(_tensors(index, data))
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise WeightsCorrupt(f"{name}: {error}") from error


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, NDArray[np.generic]]]:
    footer = index[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("not a TensorFlow table")
    # The footer's first handle is the meta index, which says nothing about tensors.
    offset = 0
    for _ in range(2):
        _, offset = read_varint(footer, offset)
    for _, handle in _entries(index, *_handle(footer, offset)):
        for key, value in _entries(index, *_handle(handle, 0)):
            if key:
                yield from _tensor(key, value, data)


def _handle(data: bytes, offset: int) -> tuple[int, int]:
    start, offset = read_varint(data, offset)
    size, _ = read_varint(data, offset)
    return start, size


def _entries(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if start + size >= len(table) or size < 4:
        raise ValueError("block lies outside the table")
    if table[start + size] != 0:
        raise ValueError("compressed blocks are not supported")
    block = table[start : start + size]
    restarts = struct.unpack_from("<I", block, size - 4)[0]
    end = size - 4 - 4 * restarts
    offset, key = 0, b""
    while offset < end:
        shared, offset = read_varint(block, offset)
        fresh, offset = read_varint(block, offset)
        length, offset = read_varint(block, offset)
        if offset + fresh + length > end:
            raise ValueError("entry lies outside its block")
        key = key[:shared] + block[offset : offset + fresh]
        offset += fresh
        yield key, block[offset : offset + length]
        offset += length


def _tensor(key: bytes, value: bytes, data: bytes) -> Iterator[tuple[str, NDArray[np.generic]]]:
    entry = read_message(value)
    dtype = _TYPES.get(number(entry, 1))
    if dtype is None:
        return
    if number(entry, 3) != 0:
        raise ValueError("more than one shard")
    shape = [
        number(read_message(axis), 1)
        for description in chunks(entry, 2)
        for axis in chunks(read_message(description), 2)
    ]
    offset, size = number(entry, 4), number(entry, 5)
    raw = data[offset : offset + size]
    if len(raw) != size:
        raise ValueError(f"tensor {key.decode()} lies outside the data")
    yield key.decode(), np.frombuffer(raw, dtype).reshape(shape)
