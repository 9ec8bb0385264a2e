"""Describe a pretrained network and wrap it as an extractor: checked weights, bounded batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from streamer.errors import WeightsCorrupt
from streamer.extractor import ClipInput, PictureInput, SoundInput
from streamer.models.networks.layers import fold_all

MIN_COSINE: Final = 0.999
"""Least cosine between a token in mixed precision and the float32 one."""

# Lossy decoders overshoot full scale a little; clamp only what is certainly wrong.
_MAX_AMPLITUDE = 8.0
# Rows of a forward pass on a GPU, as a multiple of those on a CPU.
_GPU_ROWS = 16


@dataclass(frozen=True, slots=True)
class Architecture:
    """Declaration of a network: everything but its weights.

    Attributes:
        name: Name in the settings, the weight store and the events.
        slots: Aspects it can fill.
        module: Makes the torch module: clean pieces → ``(batch, dim)``, rows independent.
        input: Format of a piece; a picture network's interval is set by the settings.
        dim: Length of a token.
        max_rows: Rows of one forward pass on a CPU, chosen to fit its caches.
        channels_last: Whether convolutions run faster in that memory layout on a CPU.
        weights: Whether the store holds its weights; otherwise ``module`` makes it ready to use.
        autocast: Type of mixed precision on a GPU, None for float32. Float16 has the finer
            steps, bfloat16 the range that power spectra need; tokens must stay within
            ``MIN_COSINE`` of float32.
    """

    name: str
    slots: tuple[str, ...]
    module: Callable[[], nn.Module]
    input: PictureInput | ClipInput | SoundInput
    dim: int
    max_rows: int
    channels_last: bool
    weights: bool = True
    autocast: torch.dtype | None = None

    def autocast_dtype(self, device: torch.device) -> torch.dtype | None:
        """Return the type of mixed precision on a device; None for float32, as on a CPU."""
        return self.autocast if device.type == "cuda" else None

    def build(
        self,
        aspect: str,
        tensors: Mapping[str, torch.Tensor],
        device: torch.device,
        interval: Fraction,
        *,
        mixed_precision: bool = True,
    ) -> TorchExtractor:
        """Load weights into the network and wrap it as an extractor.

        Args:
            aspect: Slot it fills.
            tensors: Its weights by name, float32; empty for a network without ``weights``.
            device: Device it runs on.
            interval: Seconds between key frames; pictures only.
            mixed_precision: Use ``autocast`` on a GPU.

        Raises:
            WeightsCorrupt: The tensors are not this network's.
        """
        if self.weights:
            with torch.device("meta"):
                module = self.module()
            load_weights(module, self.name, tensors)
        else:
            module = self.module()
        module.eval().requires_grad_(False)
        fold_all(module)
        module.to(device)
        if self.channels_last:
            _channels_last(module)
        accepts = self.input
        if isinstance(accepts, PictureInput):
            accepts = replace(accepts, interval=interval)
        return TorchExtractor(
            aspect=aspect,
            architecture=replace(self, input=accepts),
            module=module,
            device=device,
            autocast=self.autocast_dtype(device) if mixed_precision else None,
            stream=_own_stream(device),
        )


@dataclass(frozen=True, slots=True)
class TorchExtractor:
    """An `Extractor` around a torch module that maps clean pieces to tokens.

    Attributes:
        aspect: Slot it fills.
        architecture: Declaration of the network.
        module: Pieces as float32 ``(batch, window)``, or uint8 ``(batch, 3, height, width)`` or
            ``(batch, frames, 1, height, width)`` → ``(batch, dim)``; rows independent.
        device: Device of the module.
        autocast: Type of mixed precision; None for float32.
        stream: CUDA stream of its own, so that networks run concurrently on a GPU.
    """

    aspect: str
    architecture: Architecture
    module: nn.Module
    device: torch.device
    autocast: torch.dtype | None = None
    stream: torch.cuda.Stream | None = None

    @property
    def network(self) -> str:
        """Name of the network."""
        return self.architecture.name

    @property
    def input(self) -> PictureInput | ClipInput | SoundInput:
        """Format of a piece."""
        return self.architecture.input

    @property
    def dim(self) -> int:
        """Length of a token."""
        return self.architecture.dim

    @property
    def kind(self) -> Literal["picture", "clip", "sound"]:
        """Kind of the pieces."""
        if isinstance(self.input, PictureInput):
            return "picture"
        return "clip" if isinstance(self.input, ClipInput) else "sound"

    @property
    def max_rows(self) -> int:
        """Most rows of one forward pass; bounds memory for any batch."""
        return self.architecture.max_rows * (1 if self.device.type == "cpu" else _GPU_ROWS)

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        """Embed a batch; see `streamer.extractor.Extractor.embed`.

        NaN samples count as silence; samples are clamped 18 dB above full scale.

        Args:
            pieces: Batch on any device.

        Returns:
            Tokens on the CPU, detached.

        Shape:
            ``(batch, window)``, ``(batch, 3, height, width)`` or
            ``(batch, frames, 1, height, width)`` → ``(batch, dim)``

        Raises:
            ValueError: The pieces have the wrong shape or type.
        """
        self._check(pieces)
        if pieces.shape[0] == 0:
            return torch.zeros(0, self.dim)
        with torch.inference_mode(), torch.cuda.stream(self.stream):
            tokens = [self._forward(part) for part in torch.split(pieces, self.max_rows)]
            return tokens[0] if len(tokens) == 1 else torch.cat(tokens)

    def _forward(self, pieces: torch.Tensor) -> torch.Tensor:
        if self.device.type == "cuda" and not pieces.is_cuda:
            # A copy from pinned memory overlaps with computation on the GPU.
            pieces = pieces.pin_memory()
        pieces = pieces.to(self.device, non_blocking=True)
        if pieces.is_floating_point():
            pieces = pieces.nan_to_num(0.0, _MAX_AMPLITUDE, -_MAX_AMPLITUDE)
            pieces = pieces.clamp_(-_MAX_AMPLITUDE, _MAX_AMPLITUDE)
        tokens = self._autocast(pieces)
        if self.autocast is not None:
            # Rows that overflow the smaller type are rare: repeat them in float32.
            rows = ~tokens.isfinite().all(dim=1)
            if bool(rows.any()):
                tokens[rows] = self.module(pieces[rows.to(self.device)]).float().cpu()
        return tokens

    def _autocast(self, pieces: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            tokens: torch.Tensor = self.module(pieces)
        return tokens.float().cpu()

    def _check(self, pieces: torch.Tensor) -> None:
        shape: tuple[int, ...]
        if isinstance(self.input, PictureInput):
            shape, dtype = (3, self.input.height, self.input.width), torch.uint8
        elif isinstance(self.input, ClipInput):
            size = (self.input.height, self.input.width)
            shape, dtype = (self.input.frames, 1, *size), torch.uint8
        else:
            shape, dtype = (self.input.window,), torch.float32
        if tuple(pieces.shape[1:]) != shape or pieces.dtype != dtype:
            raise ValueError(
                f"{self.network} wants (batch, {', '.join(map(str, shape))}) {dtype},"
                f" got {tuple(pieces.shape)} {pieces.dtype}"
            )


def _own_stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    # The weights were queued on the device's default stream.
    torch.cuda.synchronize(device)
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not type it


def _channels_last(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)


def load_weights(module: nn.Module, network: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Assign weights to a module made on ``meta``; names, shapes and types must match.

    Buffers that are not weights are made on the CPU with ``persistent=False``.

    Args:
        module: The module.
        network: Name of the network in errors.
        tensors: Its weights by name, float32.

    Raises:
        WeightsCorrupt: A tensor is missing, unknown, or of a wrong shape or type; names the first.
    """
    wanted = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    for name, tensor in wanted.items():
        if name not in tensors:
            raise WeightsCorrupt(f"weights of {network}: tensor {name} is missing")
        found = tensors[name]
        if found.shape != tensor.shape or found.dtype != torch.float32:
            raise WeightsCorrupt(
                f"weights of {network}: tensor {name} is {tuple(found.shape)} {found.dtype},"
                f" expected {tuple(tensor.shape)} {torch.float32}"
            )
    for name in tensors:
        if name not in wanted:
            raise WeightsCorrupt(f"weights of {network}: tensor {name} is unknown")
    module.load_state_dict(dict(tensors), strict=False, assign=True)
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.num_batches_tracked = None  # still on "meta"; only training reads it
