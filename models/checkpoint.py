"""Save and load a mixture as one safetensors file, its configuration in the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from streamer.errors import CheckpointError, ConfigError
from streamer.files import write_atomically
from streamer.models.mixture import Moae, MoaeConfig

_KEY = "moae"
_MAX_BYTES = 1 << 30
_TYPES = ("F32", "F16")

DEFAULT_CHECKPOINT = Path(__file__).parent / "checkpoints" / "moae_a.safetensors"
"""Checkpoint shipped with the package."""


class CheckpointHeader(BaseModel):
    """Metadata of a checkpoint file.

    Attributes:
        format: Version of the file format.
        config: Names, sizes and constants of the mixture.
        notes: Free text by key: training data, metrics, versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["moae-streamer-checkpoint/1"] = "moae-streamer-checkpoint/1"
    config: MoaeConfig
    notes: dict[str, str] = Field(default_factory=dict)


def round_to_half(module: nn.Module) -> None:
    """Round parameters to half precision, in place; scores change by less than 1e-3.

    ``save_moae`` then stores them in half the space without loss.

    Args:
        module: Stays in single precision. A parameter beyond half precision's range is kept.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            rounded = parameter.half().float()
            if bool(torch.isfinite(rounded).all()):
                parameter.copy_(rounded)


def save_moae(model: Moae, path: Path, notes: Mapping[str, str] | None = None) -> str:
    """Write a mixture atomically.

    The bytes depend only on the model and the notes. A tensor that half precision holds without
    loss is stored in it.

    Args:
        model: The mixture.
        path: Path of the file.
        notes: See ``CheckpointHeader``.

    Returns:
        SHA-256 of the file, in hexadecimal.
    """
    header = CheckpointHeader(config=model.config, notes=dict(notes or {}))
    tensors = {name: _smallest(tensor) for name, tensor in model.state_dict().items()}
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True)
    content = save(tensors, metadata={_KEY: text})
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def read_header(path: Path) -> CheckpointHeader:
    """Read the metadata alone.

    Args:
        path: Checkpoint file.

    Raises:
        CheckpointError: Missing, unreadable, not a checkpoint, or with invalid metadata.
    """
    _content(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error}") from error
    if _KEY not in metadata:
        raise CheckpointError(f"{path} is a safetensors file, but not a mixture of experts")
    try:
        return CheckpointHeader.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its metadata"
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from error
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def load(path: Path | None = None, device: torch.device | str = "cpu") -> Moae:
    """Load a mixture for inference.

    Args:
        path: Checkpoint file; None for the shipped one.
        device: Device of the parameters.

    Returns:
        The mixture in evaluation mode, its ``digest`` the file's SHA-256.

    Raises:
        CheckpointError: Missing or unreadable, or a tensor is missing, unexpected, of a wrong
            shape or type, or not finite; the message names it.
    """
    where = DEFAULT_CHECKPOINT if path is None else path
    header = read_header(where)
    # The header may declare any width: allocate nothing before the tensors are known to fit.
    with torch.device("meta"):
        model = Moae(header.config, digest=hashlib.sha256(_content(where)).hexdigest())
    try:
        with safe_open(where, framework="pt") as file:
            _compare(where, file, model.state_dict())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dict
            for name, tensor in tensors.items():
                if not bool(torch.isfinite(tensor).all()):
                    raise CheckpointError(f"{where}: tensor {name} is not finite")
                # A copy: the file's tensors are memory-mapped.
                tensors[name] = tensor.to(torch.float32, copy=True)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{where} is damaged: {error}") from error
    model.load_state_dict(tensors, assign=True)
    return model.eval().to(device).batch_experts()


def _smallest(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.detach().cpu().contiguous()
    half = plain.half()
    return half if torch.equal(half.to(plain.dtype), plain) else plain


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"{path} is larger than any checkpoint")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _compare(path: Path, file: Any, expected: Mapping[str, torch.Tensor]) -> None:
    """Compare names, shapes and types by the file's header alone."""
    found = set(file.keys())
    missing, surplus = sorted(set(expected) - found), sorted(found - set(expected))
    if missing:
        raise CheckpointError(f"{path}: tensor {missing[0]} is missing")
    if surplus:
        raise CheckpointError(f"{path}: tensor {surplus[0]} is not expected")
    for name in sorted(found):
        held, shape = file.get_slice(name), tuple(expected[name].shape)
        if tuple(held.get_shape()) != shape or held.get_dtype() not in _TYPES:
            raise CheckpointError(
                f"{path}: tensor {name} is {held.get_dtype()} {tuple(held.get_shape())}, "
                f"expected F32 {shape}"
            )
