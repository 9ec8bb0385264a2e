"""State dicts with published names and shapes and made-up values, the same on every machine."""

from __future__ import annotations

import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import h5py
import numpy as np
import torch

# Names and shapes as the published code of each network makes them, and what that code computes
# with the values below; of deep-speaker and lgss-audnet, what a second implementation computes.
GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("published.json").read_text())


def generated(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Values that keep signals alive through many layers, a pure function of name and shape."""
    uniform = np.random.default_rng(crc32(name.encode())).random(shape, dtype=np.float32)
    last = name.rsplit(".", 1)[-1]
    if last in ("melW", "mel_basis"):
        values = uniform
    elif last == "num_batches_tracked":
        return torch.tensor(1)
    elif len(shape) == 1 and last in ("weight", "running_var", "gamma", "moving_variance"):
        values = 0.75 + 0.5 * uniform
    elif len(shape) == 1:
        values = 0.2 * (uniform - 0.5)
    else:
        # Keras keeps outputs last, torch first.
        inputs = math.prod(shape) // (shape[-1] if last == "kernel" else shape[0])
        values = (2 * uniform - 1) * math.sqrt(6 / inputs)
    return torch.from_numpy(values.astype(np.float32))


def state(network: str) -> dict[str, torch.Tensor]:
    """A whole state dict."""
    layout = GOLDEN[network]["layout"]
    return {name: generated(name, tuple(shape)) for name, shape in layout.items()}


def as_read(network: str) -> dict[str, object]:
    """The same as a reader gives it."""
    tensors = {name.removeprefix("module."): tensor for name, tensor in state(network).items()}
    if network == "vggish-pca":
        return tensors | pca(tensors)
    if network != "deep-speaker":
        return dict(tensors)
    return {name.replace(".", "/"): tensor.numpy() for name, tensor in tensors.items()}


def released(network: str) -> list[bytes]:
    """The files of a network as they are published."""
    tensors = state(network)
    if network == "deep-speaker":
        file = BytesIO()
        with h5py.File(file, "w") as keras:
            for name, tensor in tensors.items():
                keras[name.replace(".", "/") + ":0"] = tensor.numpy()
        return [file.getvalue()]
    groups: list[dict[str, Any]] = [dict(tensors)]
    if network == "vggish-pca":
        second = pca(tensors)
        groups = [{n: t for n, t in tensors.items() if n not in second}, second]
    wrapper = {"resnet50-places365": "state_dict", "panns-cnn14": "model"}.get(network)
    return [saved({wrapper: group, "epoch": 7} if wrapper else group) for group in groups]


def pca(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The second file of VGGish: arrays, means in a row."""
    vectors, means = tensors["pca_eigen_vectors"], tensors["pca_means"]
    return {"pca_eigen_vectors": vectors.double().numpy(), "pca_means": means[:, 0].numpy()}


def saved(tree: object) -> bytes:
    """What ``torch.save`` makes of it."""
    file = BytesIO()
    torch.save(tree, file)
    return file.getvalue()
