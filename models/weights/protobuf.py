"""Read weights stored as protocol buffers: ONNX graphs and TensorFlow checkpoints."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt

Field = int | bytes
Message = dict[int, list[Field]]


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Read a base-128 number.

    Args:
        data: The buffer.
        offset: Start of the number.

    Returns:
        The number (below 2⁶⁴) and the offset after it.

    Raises:
        ValueError: The buffer ends, or the number is too long.
    """
    value = 0
    for index in range(10):
        if offset >= len(data):
            raise ValueError("truncated number")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, offset
    raise ValueError("number too long")


def read_message(data: bytes) -> Message:
    """Split a message into its fields.

    Args:
        data: The message.

    Returns:
        Field number → values in order; a number, or the bytes of a string, a nested message, a
        packed list or a fixed-width value.

    Raises:
        ValueError: It is not a message.
    """
    fields: Message = {}
    offset = 0
    while offset < len(data):
        tag, offset = read_varint(data, offset)
        number, wire = tag >> 3, tag & 7
        value: Field
        if wire == 0:
            value, offset = read_varint(data, offset)
        elif wire in (1, 2, 5):
            if wire == 2:
                size, offset = read_varint(data, offset)
            else:
                size = 8 if wire == 1 else 4
            if size > len(data) - offset:
                raise ValueError("truncated field")
            value, offset = data[offset : offset + size], offset + size
        else:
            raise ValueError(f"unknown wire type {wire}")
        fields.setdefault(number, []).append(value)
    return fields


def numbers(message: Message, field: int) -> list[int]:
    """Return all numbers of a repeated field, packed or not.

    Args:
        message: From `read_message`.
        field: Its number.

    Returns:
        The numbers, in order.

    Raises:
        ValueError: A packed list is damaged.
    """
    found: list[int] = []
    for value in message.get(field, []):
        if isinstance(value, int):
            found.append(value)
            continue
        offset = 0
        while offset < len(value):
            number, offset = read_varint(value, offset)
            found.append(number)
    return found


def number(message: Message, field: int, default: int = 0) -> int:
    """Return the last number of a field.

    Args:
        message: From `read_message`.
        field: Its number.
        default: Value of an absent field.

    Returns:
        The number.

    Raises:
        ValueError: A packed list is damaged.
    """
    found = numbers(message, field)
    return found[-1] if found else default


def chunks(message: Message, field: int) -> list[bytes]:
    """Return all byte strings of a repeated field.

    Args:
        message: From `read_message`.
        field: Its number.

    Returns:
        The byte strings, in order.

    Raises:
        ValueError: The field holds numbers.
    """
    found = message.get(field, [])
    if any(isinstance(value, int) for value in found):
        raise ValueError(f"field {field} is not bytes")
    return [value for value in found if isinstance(value, bytes)]


def text(message: Message, field: int) -> str:
    """Return a string field, empty when absent.

    Args:
        message: From `read_message`.
        field: Its number.

    Returns:
        The string.

    Raises:
        ValueError: It is not UTF-8.
    """
    found = chunks(message, field)
    return found[-1].decode("utf-8") if found else ""


_FLOAT = 1
_EXTERNAL = 1


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One operation of the graph.

    Attributes:
        kind: Operator, e.g. ``Conv``.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """The operations in order and the float tensors they start from.

    Attributes:
        nodes: In the file's order, which is a valid order of execution.
        weights: Initialiser name → float32 array.
    """

    nodes: tuple[OnnxNode, ...]
    weights: dict[str, NDArray[np.float32]]

    def weight(self, name: str) -> NDArray[np.float32]:
        """Return the float tensor of a value, looking through quantise-dequantise pairs.

        Args:
            name: Name of an operation's input.

        Returns:
            The initialiser.

        Raises:
            WeightsCorrupt: The value does not come from a float initialiser.
        """
        sources = {
            node.outputs[0]: node.inputs[0]
            for node in self.nodes
            if node.kind in ("QuantizeLinear", "DequantizeLinear") and node.outputs and node.inputs
        }
        for _ in range(len(sources) + 1):
            if name in self.weights:
                return self.weights[name]
            if name not in sources:
                break
            name = sources[name]
        raise WeightsCorrupt(f"ONNX graph: {name} is not a stored tensor")


def read_onnx(model: bytes, external: bytes, name: str) -> OnnxGraph:
    """Read a graph whose large tensors are stored in one file beside it.

    Args:
        model: The ``.onnx`` file.
        external: The file of raw tensors.
        name: Name of the network in errors.

    Returns:
        The graph.

    Raises:
        WeightsCorrupt: A file is damaged.
    """
    try:
        graph = read_message(chunks(read_message(model), 7)[0])
        nodes = tuple(_node(read_message(raw)) for raw in chunks(graph, 1))
        weights: dict[str, NDArray[np.float32]] = {}
        for raw in chunks(graph, 5):
            tensor = read_message(raw)
            if number(tensor, 2) == _FLOAT:
                weights[text(tensor, 8)] = _array(tensor, external)
    except (ValueError, IndexError) as error:
        raise WeightsCorrupt(f"{name}: {error}") from error
    return OnnxGraph(nodes, weights)


def _node(message: Message) -> OnnxNode:
    return OnnxNode(
        kind=text(message, 4),
        inputs=tuple(raw.decode() for raw in chunks(message, 1)),
        outputs=tuple(raw.decode() for raw in chunks(message, 2)),
    )


def _array(tensor: Message, external: bytes) -> NDArray[np.float32]:
    shape = numbers(tensor, 1)
    if number(tensor, 14) == _EXTERNAL:
        pairs = [read_message(raw) for raw in chunks(tensor, 13)]
        where = {text(pair, 1): text(pair, 2) for pair in pairs}
        offset = int(where.get("offset", "0"))
        size = int(where.get("length", str(len(external) - offset)))
        if offset < 0 or size < 0 or offset + size > len(external):
            raise ValueError("tensor lies outside the data")
        raw = external[offset : offset + size]
    else:
        raw = b"".join(chunks(tensor, 9)) or b"".join(chunks(tensor, 4))
    return np.frombuffer(raw, np.dtype("<f4")).reshape(shape)


_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
# tensorflow.DataType of numeric tensors.
_TYPES: dict[int, np.dtype[np.generic]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}


def read_tensorflow(index: bytes, data: bytes, name: str) -> dict[str, NDArray[np.generic]]:
    """Read every numeric tensor of a single-shard V2 checkpoint.

    Args:
        index: The ``.index`` file, uncompressed blocks.
        data: The ``.data-00000-of-00001`` file.
        name: Name of the network in errors.

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
    # The footer's first handle is the meta index, which holds no tensors.
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
