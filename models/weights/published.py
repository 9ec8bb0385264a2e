"""Pinned state dicts → tensors under this project's names, every name and shape checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors

from streamer.errors import WeightsCorrupt
from streamer.models.networks.registry import architecture
from streamer.models.weights.convert import Tensors, floats, mapping
from streamer.models.weights.readers import HDF5_MAGIC, read_keras, read_torch

_COUNTER = "num_batches_tracked"
# Keys under which checkpoints keep the tensors, beside epochs and the like.
_WRAPPERS = ("state_dict", "model")
_PARALLEL = "module."
_KERAS_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One expected tensor of a published file.

    Attributes:
        shape: As published; None for an unused tensor that may be missing.
        ours: Name in this project; None for an unused tensor.
        axes: Permutation of its axes; empty keeps the order.
    """

    shape: tuple[int, ...] | None
    ours: str | None
    axes: tuple[int, ...] = ()


_Layout = dict[str, _Wanted]

# Unused tensors of the published files: classifiers, and sines and cosines that an FFT replaces.
_UNUSED: Mapping[str, Mapping[str, tuple[int, ...] | None]] = {
    "resnet50-places365": {"fc.weight": (365, 2048), "fc.bias": (365,)},
    "mtcnn-facenet": {"logits.weight": None, "logits.bias": None},
    "panns": {
        "fc_audioset.weight": (527, 2048),
        "fc_audioset.bias": (527,),
        "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
    },
    "openl3-music-mel256-512": {
        "speclayer.dft_real_kernels": (1025, 1, 2048),
        "speclayer.dft_imag_kernels": (1025, 1, 2048),
    },
}
# Prefix of a network's tensors inside the checkpoint of a larger model.
_PART = {"lgss-audnet": "audnet."}
# Prefix of this project's names for the tensors of a published file.
_WHERE = {"mtcnn-facenet": "descriptor."}
# Values in the larger array of VGGish's second file: bounds what is converted.
_PCA = 128 * 128


def read_state(path: Path, data: bytes) -> dict[str, object]:
    """Read named tensors without running anything.

    Args:
        path: Name of the file in errors.
        data: Its content: safetensors, Keras's HDF5, or ``torch.save`` of tensors and plain
            containers.

    Returns:
        Tensors by their published names, without the ``module.`` of parallel training.

    Raises:
        WeightsCorrupt: It is no such file, or refers to anything but tensors.
    """
    name = path.name
    if data.startswith(HDF5_MAGIC):
        return dict(read_keras(data, name))
    if data[8:9] == b"{":
        try:
            return dict(load_safetensors(data))
        except Exception as error:  # a damaged header can raise anything
            raise WeightsCorrupt(f"{name}: {error}") from error
    state = mapping(read_torch(data, name))
    for wrapper in _WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            state = mapping(state[wrapper])
            break
    if state and all(str(key).startswith(_PARALLEL) for key in state):
        return {str(key).removeprefix(_PARALLEL): value for key, value in state.items()}
    return {str(key): value for key, value in state.items()}


def adopt(network: str, states: Sequence[Mapping[str, object]]) -> Tensors:
    """Check published tensors and rename them to this project's names.

    Args:
        network: One of `streamer.models.weights.manifest.PUBLISHED`.
        states: Named tensors of its files, in order.

    Returns:
        Tensors of the network, without those shared with another.

    Raises:
        WeightsCorrupt: A tensor is missing, of a wrong shape or type, not finite or unknown; the
            message names the first.
    """
    state = _part(network, states)
    wanted = _deep_speaker() if network == "deep-speaker" else _torch_layout(network)
    tensors: Tensors = {}
    for name, tensor in wanted.items():
        if tensor.shape is None:
            continue
        if name not in state:
            raise WeightsCorrupt(f"weights of {network}: tensor {name} is missing")
        values = floats(state, name, network, tensor.shape)
        if tensor.ours is not None:
            tensors[tensor.ours] = values.transpose(tensor.axes) if tensor.axes else values
    for name in state:
        if name not in wanted and not name.endswith(_COUNTER):
            raise WeightsCorrupt(f"weights of {network}: tensor {name} is unknown")
    return tensors


def _part(network: str, states: Sequence[Mapping[str, object]]) -> dict[str, object]:
    state = {name: value for each in states for name, value in each.items()}
    if network == "vggish-pca":
        # Pinned as arrays of numpy, and used as single precision and as a column.
        for name in ("pca_eigen_vectors", "pca_means"):
            value = state.get(name)
            if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) <= _PCA:
                state[name] = _single(value, name, network, column=name == "pca_means")
    part = _PART.get(network)
    if part is None or not any(part in name for name in state):
        return state
    return {name.partition(part)[2]: value for name, value in state.items() if part in name}


def _single(
    value: torch.Tensor | NDArray[np.generic], name: str, network: str, *, column: bool
) -> NDArray[np.float32]:
    try:
        array = np.asarray(value, np.float32)
    except (RuntimeError, TypeError, ValueError) as error:
        raise WeightsCorrupt(f"{network}: {name} is not a plain tensor") from error
    return array.reshape(-1, 1) if column else array


def _torch_layout(network: str) -> _Layout:
    """Expect the module's own tensors, which keep their published names, and the unused ones."""
    with torch.device("meta"):
        module = architecture(network).module()
    where = _WHERE.get(network, "")
    layout = {
        name.removeprefix(where): _Wanted(tuple(tensor.shape), name)
        for name, tensor in module.state_dict().items()
        if name.startswith(where) and not name.endswith(_COUNTER)
    }
    family = "panns" if network.startswith("panns-") else network
    unused = _UNUSED.get(family, {})
    return layout | {name: _Wanted(shape, None) for name, shape in unused.items()}


def _deep_speaker() -> _Layout:
    layout: _Layout = {}
    inputs = 1
    for stage, channels in enumerate((64, 128, 256, 512)):
        layers = [(f"conv{channels}-s", f"stages.{stage}.0", inputs, 5)]
        layers += [
            (f"res{stage + 1}_{block}_branch_2{half}", f"stages.{stage}.{block + 1}.{ours}", n, 3)
            for block in range(3)
            for half, ours, n in (("a", "first", channels), ("b", "second", channels))
        ]
        for theirs, ours, before, kernel in layers:
            layout |= _keras_convolution(theirs, ours, before, channels, kernel)
        inputs = channels
    layout["affine/affine/kernel"] = _Wanted((2048, 512), "affine.weight", (1, 0))
    layout["affine/affine/bias"] = _Wanted((512,), "affine.bias")
    return layout


def _keras_convolution(
    theirs: str, ours: str, inputs: int, outputs: int, kernel: int
) -> Iterator[tuple[str, _Wanted]]:
    shape = (kernel, kernel, inputs, outputs)
    yield f"{theirs}/{theirs}/kernel", _Wanted(shape, f"{ours}.conv.weight", (3, 2, 0, 1))
    yield f"{theirs}/{theirs}/bias", _Wanted((outputs,), f"{ours}.conv.bias")
    norm = f"{theirs}_bn"
    for tensor, name in _KERAS_NORM.items():
        yield f"{norm}/{norm}/{tensor}", _Wanted((outputs,), f"{ours}.norm.{name}")


def take_over(network: str, own: Tensors, other: Mapping[str, torch.Tensor]) -> Tensors:
    """Add the tensors that a network shares with another one.

    Args:
        network: Its name.
        own: Tensors from its own files.
        other: Tensors of the other network.

    Returns:
        All tensors of the network.
    """
    with torch.device("meta"):
        names = architecture(network).module().state_dict()
    taken = {name: other[name].numpy() for name in names if name in other and name not in own}
    return own | taken
