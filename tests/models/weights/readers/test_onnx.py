from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import WeightsCorrupt
from streamer.models.weights.protobuf import read_onnx
from tests.models.weights.readers.wire import field

FLOAT, INT8 = 1, 3
BESIDE = np.arange(6, dtype="<f4")
INSIDE = np.array([0.5, -2.0], dtype="<f4")


def node(kind: str, inputs: list[str], outputs: list[str]) -> bytes:
    names = b"".join(field(1, name) for name in inputs)
    return field(1, names + b"".join(field(2, name) for name in outputs) + field(4, kind))


def external(name: str, shape: list[int], offset: int, length: int) -> bytes:
    pairs = {"location": "model.data", "offset": str(offset), "length": str(length)}
    where = b"".join(field(13, field(1, key) + field(2, value)) for key, value in pairs.items())
    sides = b"".join(field(1, side) for side in shape)
    return field(5, sides + field(2, FLOAT) + field(8, name) + where + field(14, 1))


def model(offset: int = 4) -> bytes:
    graph = (
        node("QuantizeLinear", ["kernel", "scale", "zero"], ["kernel_q"])
        + node("DequantizeLinear", ["kernel_q", "scale", "zero"], ["kernel_dq"])
        + node("Conv", ["x", "kernel_dq", "bias"], ["y"])
        + external("kernel", [2, 3], offset, 24)
        + field(5, field(1, 2) + field(2, FLOAT) + field(8, "bias") + field(9, INSIDE.tobytes()))
        + field(5, field(2, INT8) + field(8, "zero") + field(9, b"\0"))
    )
    return field(1, 8) + field(7, graph)


DATA = b"\0\0\0\0" + BESIDE.tobytes()


def test_tensors_inside_and_beside_the_graph() -> None:
    graph = read_onnx(model(), DATA, "fine")
    assert [step.kind for step in graph.nodes] == ["QuantizeLinear", "DequantizeLinear", "Conv"]
    convolution = graph.nodes[-1]
    np.testing.assert_array_equal(graph.weight(convolution.inputs[1]), BESIDE.reshape(2, 3))
    np.testing.assert_array_equal(graph.weight(convolution.inputs[2]), INSIDE)
    assert set(graph.weights) == {"kernel", "bias"}


def test_a_value_that_is_not_stored_is_named() -> None:
    graph = read_onnx(model(), DATA, "fine")
    with pytest.raises(WeightsCorrupt, match="x is not a stored tensor"):
        graph.weight("x")


def test_a_tensor_outside_the_data_is_refused() -> None:
    with pytest.raises(WeightsCorrupt, match="short: tensor lies outside"):
        read_onnx(model(offset=5), DATA, "short")


def test_a_loop_of_quantisers_ends() -> None:
    graph = field(7, node("QuantizeLinear", ["a"], ["b"]) + node("QuantizeLinear", ["b"], ["a"]))
    with pytest.raises(WeightsCorrupt, match="not a stored tensor"):
        read_onnx(graph, b"", "loop").weight("a")


@given(st.data())
def test_damage_is_refused_or_leaves_a_graph(draw: st.DataObject) -> None:
    whole = model()
    at = draw.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([draw.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        graph = read_onnx(damaged, DATA, "damaged")
    except WeightsCorrupt:
        return
    assert all(array.dtype == np.float32 for array in graph.weights.values())
