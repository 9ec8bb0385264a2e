"""A verified release file → the bytes of one safetensors file, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from streamer.errors import WeightsCorrupt
from streamer.models.weights import converters
from streamer.models.weights.converters import Converter, Tensors
from streamer.models.weights.manifest import Pinned
from streamer.models.weights.readers.archive import read_member

DIGESTS = "sha256"

_CONVERTERS: Mapping[str, Converter] = {
    "efficientnet-lite0": converters.efficientnet_lite0,
    "ge2e": converters.ge2e,
    "yamnet": converters.yamnet,
    "aisfx-cnn9": converters.aisfx_cnn9,
    "soundnet-conv5": converters.soundnet_conv5,
    "musicnn-mtt": converters.musicnn_mtt,
    "mtcnn-dlib": converters.mtcnn_dlib,
    "ina-smn": converters.ina_smn,
    "transnetv2": converters.transnetv2,
}


def convert(pinned: Pinned, files: Sequence[Path]) -> bytes:
    """Reads and converts the weights of a network.

    Args:
        pinned: What is known about them.
        files: The release files, in the order of ``pinned.releases``.

    Returns:
        A safetensors file; its metadata holds a digest of every tensor.

    Raises:
        WeightsCorrupt: A release file is not the pinned one, or cannot be read.
    """
    members: list[bytes] = []
    for release, path in zip(pinned.releases, files, strict=True):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != release.sha256:
            raise WeightsCorrupt(f"{path.name} has sha256 {found}, pinned is {release.sha256}")
        members += [read_member(path, member) for member in release.members]
    return serialise(_CONVERTERS[pinned.network](members))


def serialise(tensors: Tensors) -> bytes:
    """Writes tensors in one order, little-endian, row by row.

    Args:
        tensors: Name → float32 array.

    Returns:
        A safetensors file.
    """
    plain = {name: np.array(tensors[name], "<f4", order="C") for name in sorted(tensors)}
    digests = {name: digest(array.tobytes()) for name, array in plain.items()}
    # One key: safetensors writes several in no particular order.
    return save(plain, metadata={DIGESTS: json.dumps(digests, sort_keys=True)})


def digest(data: bytes) -> str:
    """First 16 hexadecimal digits of a tensor's sha256, to name the tensor that is damaged.

    Args:
        data: Its bytes.

    Returns:
        The digits.
    """
    return hashlib.sha256(data).hexdigest()[:16]
