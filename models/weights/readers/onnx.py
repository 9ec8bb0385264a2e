"""Weights and layer order out of an ONNX graph, without the ONNX packages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt
from streamer.models.weights.readers.protobuf import (
    Message,
    chunks,
    number,
    numbers,
    read_message,
    text,
)

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
        """The float tensor behind a value, looking through quantise-dequantise pairs.

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
    """Reads a graph whose large tensors lie in one file beside it.

    Args:
        model: The ``.onnx`` file.
        external: The file of raw tensors.
        name: What to call it in an error.

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
