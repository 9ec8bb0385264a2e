"""Release files → tensors under this project's names; values are kept bit for bit, float32."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from streamer.errors import WeightsCorrupt
from streamer.models.weights.readers.dlib import DlibLayer, Kind, read_dlib
from streamer.models.weights.readers.hdf5 import read_keras
from streamer.models.weights.readers.onnx import read_onnx
from streamer.models.weights.readers.pickles import read_pickled_npy, read_torch
from streamer.models.weights.readers.tensorflow import read_tensorflow

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


def efficientnet_lite0(members: Sequence[bytes]) -> Tensors:
    """Torch state dict; the classifier is left out.

    Args:
        members: The ``.pth`` file.

    Returns:
        Tensors of `streamer.models.networks.efficientnet_lite0`.

    Raises:
        WeightsCorrupt: The file is damaged or of another layout.
    """
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


def ge2e(members: Sequence[bytes]) -> Tensors:
    """Torch checkpoint; the training loss's two scalars are left out.

    Args:
        members: The ``.pt`` file.

    Returns:
        Tensors of `streamer.models.networks.ge2e`.

    Raises:
        WeightsCorrupt: The file is damaged or of another layout.
    """
    state = mapping(mapping(read_torch(members[0], "ge2e")).get("model_state"))
    return _rename(state, ((r"(lstm|linear)\.", r"\1."),), "ge2e")


def aisfx_cnn9(members: Sequence[bytes]) -> Tensors:
    """Torch pair of state dict and dataset sizes; the classifiers are left out.

    Args:
        members: The ``.pth`` file.

    Returns:
        Tensors of `streamer.models.networks.aisfx_cnn9`.

    Raises:
        WeightsCorrupt: The file is damaged or of another layout.
    """
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


def soundnet_conv5(members: Sequence[bytes]) -> Tensors:
    """Pickled dict of arrays, kernels as ``(time, 1, in, out)``; layers 6 to 8 are left out.

    Args:
        members: The ``.npy`` file.

    Returns:
        Tensors of `streamer.models.networks.soundnet_conv5`.

    Raises:
        WeightsCorrupt: The file is damaged or of another layout.
    """
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


def musicnn_mtt(members: Sequence[bytes]) -> Tensors:
    """TensorFlow checkpoint; optimiser slots and the tag layer are left out.

    Args:
        members: The ``.index`` and the ``.data`` file.

    Returns:
        Tensors of `streamer.models.networks.musicnn_mtt`.

    Raises:
        WeightsCorrupt: A file is damaged or of another layout.
    """
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


def yamnet(members: Sequence[bytes]) -> Tensors:
    """ONNX graph with normalisation folded in; the classifier is left out.

    Args:
        members: The ``.onnx`` file and its external data.

    Returns:
        Tensors of `streamer.models.networks.yamnet`.

    Raises:
        WeightsCorrupt: A file is damaged or of another layout.
    """
    graph = read_onnx(members[0], members[1], "yamnet")
    tensors: Tensors = {}
    layers = [node for node in graph.nodes if node.kind == "Conv"]
    for index, node in enumerate(layers):
        tensors[f"layers.{index}.conv.weight"] = graph.weight(node.inputs[1])
        tensors[f"layers.{index}.conv.bias"] = graph.weight(node.inputs[2])
    return tensors


def ina_smn(members: Sequence[bytes]) -> Tensors:
    """Keras model: four convolutions, then four dense layers; the classifier is left out.

    Args:
        members: The ``.hdf5`` file.

    Returns:
        Tensors of `streamer.models.networks.ina_smn`.

    Raises:
        WeightsCorrupt: The file is damaged or of another layout.
    """
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


def transnetv2(members: Sequence[bytes]) -> Tensors:
    """Torch state dict; the second classifier, which only training uses, is left out.

    Args:
        members: The ``.pth`` file.

    Returns:
        Tensors of `streamer.models.networks.transnetv2`.

    Raises:
        WeightsCorrupt: The file is damaged or of another layout.
    """
    state = mapping(read_torch(members[0], "transnetv2"))
    names = r"(SDDCNN|frame_sim_layer|color_hist_layer|fc1|cls_layer1)\."
    return _rename(state, ((names, r"\1."),), "transnetv2")


def mtcnn_dlib(members: Sequence[bytes]) -> Tensors:
    """Three torch state dicts of the face finder, then dlib's face descriptor.

    Args:
        members: ``pnet.pt``, ``rnet.pt``, ``onet.pt`` and the ``.dat`` file.

    Returns:
        Tensors of `streamer.models.networks.mtcnn_dlib`.

    Raises:
        WeightsCorrupt: A file is damaged or of another layout.
    """
    tensors: Tensors = {}
    # Where each convolution stands among activations and poolings, and the layers on top.
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


def _dlib_values(layers: Iterator[DlibLayer], kind: Kind, size: int) -> NDArray[np.float32]:
    layer = next(layers, None)
    if layer is None or layer.kind != kind or layer.values.size != size:
        raise WeightsCorrupt(f"mtcnn-dlib: expected a layer {kind} of {size} values")
    if not np.isfinite(layer.values).all():
        raise WeightsCorrupt(f"mtcnn-dlib: a layer {kind} is not finite")
    return layer.values


def _rename(state: Mapping[str, object], rules: Sequence[tuple[str, str]], network: str) -> Tensors:
    tensors: Tensors = {}
    for name in state:
        for pattern, ours in rules:
            renamed, count = re.subn(rf"^{pattern}", ours, name)
            if count and not name.endswith("num_batches_tracked"):
                tensors[renamed] = floats(state, name, network)
    return tensors


def mapping(value: object) -> Mapping[str, object]:
    """Takes what was saved for named tensors.

    Args:
        value: From a reader.

    Returns:
        The same.

    Raises:
        WeightsCorrupt: It is something else.
    """
    if not isinstance(value, Mapping):
        raise WeightsCorrupt(f"expected named tensors, found {type(value).__name__}")
    return value


def floats(
    state: Mapping[str, object], name: str, network: str, shape: tuple[int, ...] | None = None
) -> NDArray[np.float32]:
    """Picks a tensor of finite float32 values.

    Args:
        state: Named tensors.
        name: Which.
        network: What to call the file in an error.
        shape: What it must be; None allows any.

    Returns:
        Its values.

    Raises:
        WeightsCorrupt: It is missing, of another type or shape, repeats values instead of holding
            them all, or is not finite.
    """
    value = state.get(name)
    if not isinstance(value, torch.Tensor | np.ndarray) or value.dtype not in _FLOATS:
        raise WeightsCorrupt(f"{network}: {name} is not a float32 tensor")
    # Before any value is looked at: a file of some bytes can announce billions.
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
    """Its values, and whether each is stored: views can show one value any number of times."""
    if isinstance(value, np.ndarray):
        return value, value.flags.c_contiguous or value.flags.f_contiguous
    stored = value.untyped_storage().nbytes()
    return value.detach().numpy(), stored >= value.numel() * value.element_size()
