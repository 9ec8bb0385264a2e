"""Pickled tensors, read by unpicklers that can build arrays and plain containers only."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar
from numpy.lib import format as npy

from streamer.errors import WeightsCorrupt

# Old pickles name numpy's pre-2.0 modules.
_NUMPY_NAMES: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


_ZIP = b"PK\3\4"


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names in `_NUMPY_NAMES` and refuses every other."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _NUMPY_NAMES[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed") from None


def _bytes(text: str, encoding: str) -> bytes:
    """Stands in for ``_codecs.encode``, which knows compressors and more."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"{encoding} is not allowed")
    return text.encode("latin1")


def read_pickled_npy(data: bytes, name: str) -> Any:
    """Reads an ``.npy`` file whose one element is a pickled tree of arrays.

    Args:
        data: The file.
        name: What to call it in an error.

    Returns:
        Dicts, lists, tuples, strings, numbers and arrays.

    Raises:
        WeightsCorrupt: It is not such a file, or the pickle asks for anything but arrays.
    """
    stream = io.BytesIO(data)
    try:
        if npy.read_magic(stream) != (1, 0):
            raise ValueError("version is not 1.0")
        shape, _, dtype = npy.read_array_header_1_0(stream)
        if shape != () or not dtype.hasobject:
            raise ValueError("it does not hold one object")
        array = _ArrayUnpickler(stream, encoding="latin1").load()
        return array.item() if isinstance(array, np.ndarray) else array
    except Exception as error:  # a hostile pickle can raise anything
        raise WeightsCorrupt(f"{name}: {error}") from error


def _stored(data: bytes, name: str) -> bytes:
    """A zip again, as this reader saw it: torch's own would inflate what is compressed."""
    copy = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(copy, "w") as new:
            members = old.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise WeightsCorrupt(f"{name}: its members are compressed")
            if sum(member.file_size for member in members) > len(data):
                raise WeightsCorrupt(f"{name}: its members hold more than the file")
            for member in members:
                new.writestr(member.filename, old.read(member))
    except WeightsCorrupt:
        raise
    except Exception as error:  # a damaged zip can raise anything
        raise WeightsCorrupt(f"{name} is damaged: {error}") from error
    return copy.getvalue()


def read_torch(data: bytes, name: str) -> Any:
    """Reads a ``torch.save`` file of tensors, containers, numpy arrays and numpy numbers.

    Args:
        data: The file, zip or the older format.
        name: What to call it in an error.

    Returns:
        What was saved, on the CPU.

    Raises:
        WeightsCorrupt: It is not such a file, its members are compressed, or it asks for any other
            class or function.
    """
    if data.startswith(_ZIP):
        data = _stored(data, name)
    allowed: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        (_reconstruct, "numpy._core.multiarray._reconstruct"),
        # How old protocols hold an array's bytes.
        (_bytes, "_codecs.encode"),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in (np.int64, np.float32, np.float64)),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can raise anything
        # torch's own message explains at length how to load the file unsafely.
        raise WeightsCorrupt(f"{name} is damaged or holds more than tensors") from error
