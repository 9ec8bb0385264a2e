"""Tensors of a network that dlib serialised, without dlib.

The format is a nesting of C++ objects. Only three kinds of layer hold weights; each begins with its
name, so that they can be found without following the nesting, in order from input to output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt

Kind = Literal["con", "affine", "fc"]

# A name is preceded by its length, itself preceded by the number of bytes of the length.
_LAYER = re.compile(rb"\x01(?:\x05(con)_[345]|\x07(affine)_|\x04(fc)_2)")
_TENSOR_VERSION = 2
_AXES = 4
# A fully connected layer says its outputs and inputs before its tensor.
_NUMBERS_BEFORE: dict[Kind, int] = {"con": 0, "affine": 0, "fc": 2}


@dataclass(frozen=True, slots=True)
class DlibLayer:
    """One layer that has weights.

    Attributes:
        kind: Convolution, per-channel scale and shift, or fully connected.
        values: Its weights as one float32 vector; a convolution's biases come last, a shift
            after its scale.
    """

    kind: Kind
    values: NDArray[np.float32]


def read_dlib(data: bytes, name: str) -> list[DlibLayer]:
    """Reads the layers with weights.

    Args:
        data: The ``.dat`` file.
        name: What to call it in an error.

    Returns:
        Layers from input to output.

    Raises:
        WeightsCorrupt: It is damaged or of another kind.
    """
    layers: list[DlibLayer] = []
    offset = 0
    try:
        while found := _LAYER.search(data, offset):
            kind = _kind(found)
            values, offset = _tensor(data, found.end(), _NUMBERS_BEFORE[kind])
            layers.append(DlibLayer(kind, values))
    except (ValueError, IndexError) as error:
        raise WeightsCorrupt(f"{name}: {error}") from error
    if not layers:
        raise WeightsCorrupt(f"{name}: no layers found")
    return layers


def _kind(found: re.Match[bytes]) -> Kind:
    if found[1]:
        return "con"
    return "affine" if found[2] else "fc"


def _tensor(data: bytes, offset: int, skip: int) -> tuple[NDArray[np.float32], int]:
    for _ in range(skip):
        _, offset = _number(data, offset)
    version, offset = _number(data, offset)
    if version != _TENSOR_VERSION:
        raise ValueError(f"tensor of version {version}")
    size = 1
    for _ in range(_AXES):
        axis, offset = _number(data, offset)
        size *= axis
    end = offset + 4 * size
    if size < 1 or end > len(data):
        raise ValueError("tensor lies outside the data")
    return np.frombuffer(data, "<f4", size, offset), end


def _number(data: bytes, offset: int) -> tuple[int, int]:
    """A non-negative whole number: how many bytes it takes, then the bytes, least first."""
    count = data[offset]
    if not 1 <= count <= 8:
        raise ValueError("not a number")
    if offset + 1 + count > len(data):
        raise ValueError("truncated number")
    return int.from_bytes(data[offset + 1 : offset + 1 + count], "little"), offset + 1 + count
