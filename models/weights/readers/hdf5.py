"""Weights of a Keras model in HDF5, without Keras."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt, extra

if TYPE_CHECKING:
    import h5py

MAX_VALUES = 1 << 26
"""Of all tensors together."""
MAGIC = b"\x89HDF\r\n\x1a\n"
_WHOLE_MODEL = "model_weights"


def read_keras(data: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """Reads every float32 tensor of a saved model, or of its saved weights.

    Links to other files, data stored outside this one or nowhere, and what several links lead to
    are refused.

    Args:
        data: The ``.hdf5`` file.
        name: What to call it in an error.

    Returns:
        Path below ``model_weights`` of a model, below the root of weights, without Keras's ``:0``
        → array.

    Raises:
        ExtraMissing: h5py is not installed.
        WeightsCorrupt: It is not such a file, or asks for anything but its own tensors.
    """
    with extra("train"):
        import h5py
    collected = _Collected()
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            root = _member(file, _WHOLE_MODEL) if _WHOLE_MODEL in file else file
            _collect(root, "", collected, depth=0)
    except Exception as error:  # a damaged file can raise anything
        raise WeightsCorrupt(f"{name}: {error}") from error
    return collected.tensors


@dataclass(slots=True)
class _Collected:
    """What was found so far.

    Attributes:
        tensors: By path.
        values: How many they hold together.
        seen: Addresses of groups and datasets.
    """

    tensors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    values: int = 0
    seen: set[int] = field(default_factory=set)


def _member(group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset:
    import h5py

    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise ValueError(f"{key} is not stored in the file")
    return group[key]


def _collect(node: h5py.Group | h5py.Dataset, path: str, collected: _Collected, depth: int) -> None:
    import h5py

    # Links may lead back up, or by many ways to the same place.
    address = h5py.h5o.get_info(node.id).addr
    if address in collected.seen:
        raise ValueError(f"{path} is linked twice")
    collected.seen.add(address)
    if isinstance(node, h5py.Dataset):
        if node.is_virtual or node.external or node.chunks:
            raise ValueError(f"{path} is not stored in one piece")
        if node.dtype != np.float32:
            return
        if node.id.get_storage_size() < node.nbytes:
            raise ValueError(f"{path} is not stored in the file")
        collected.values += node.size
        if collected.values > MAX_VALUES:
            raise ValueError(f"{path} is too large")
        collected.tensors[path.removesuffix(":0")] = node[...].astype(np.float32)
        return
    # Keras nests three deep.
    if depth > 8:
        raise ValueError("groups are nested too deeply")
    for key in node:
        _collect(_member(node, key), f"{path}/{key}" if path else key, collected, depth + 1)
