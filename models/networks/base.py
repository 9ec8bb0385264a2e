"""What the extractors have in common: checked weights, clean input, bounded batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from streamer.errors import WeightsCorrupt
from streamer.extractor import ClipInput, PictureInput, SoundInput
from streamer.models.networks.layers import fold_all
from streamer.models.networks.precision import half

# Lossy decoders overshoot full scale by a little; only what is certainly wrong is cut.
_LOUDEST = 8.0
# A GPU wants this many times the rows of a CPU in one pass.
_GPU_ROWS = 16


@dataclass(frozen=True, slots=True)
class Architecture:
    """All there is to say about a network apart from its weights.

    Attributes:
        name: Honest name, the same in the settings, the weight store and the events.
        slots: Aspects it can fill.
        module: Makes the torch module: cleaned pieces → ``(batch, dim)``, rows independent.
        input: What a piece looks like; a picture network's interval is set by the settings.
        dim: Length of a token.
        max_rows: Rows of one forward pass on a CPU: what its caches hold best.
        channels_last: Whether convolutions run faster in that memory layout on a CPU.
        weights: It has weights that the store holds; a module without, or one that brings its
            own, is used as ``module`` makes it.
    """

    name: str
    slots: tuple[str, ...]
    module: Callable[[], nn.Module]
    input: PictureInput | ClipInput | SoundInput
    dim: int
    max_rows: int
    channels_last: bool
    weights: bool = True

    def build(
        self,
        aspect: str,
        tensors: Mapping[str, torch.Tensor],
        device: torch.device,
        interval: Fraction,
        *,
        few_bits: bool = True,
    ) -> TorchExtractor:
        """Puts weights into the network and wraps it as an extractor.

        Args:
            aspect: Slot it fills.
            tensors: Its weights by name, float32; none when it has no ``weights``.
            device: Where it runs.
            interval: Seconds between key frames; pictures only.
            few_bits: Cast it where it bears that, see `streamer.models.networks.precision`.

        Returns:
            The extractor.

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
            network=self.name,
            input=accepts,
            dim=self.dim,
            module=module,
            device=device,
            max_rows=self.max_rows if device.type == "cpu" else self.max_rows * _GPU_ROWS,
            half=half(self.name, device) if few_bits else None,
            stream=_own_stream(device),
        )


@dataclass(frozen=True, slots=True)
class TorchExtractor:
    """An `Extractor` around a torch module that maps clean pieces to tokens.

    Attributes:
        aspect: Slot it fills.
        network: Honest name of the network.
        input: What a piece looks like.
        dim: Length of a token.
        module: Pieces as float32 ``(batch, window)``, or uint8 ``(batch, 3, height, width)`` or
            ``(batch, frames, 1, height, width)`` → ``(batch, dim)``; rows independent.
        device: Where the module is.
        max_rows: Rows a forward pass takes at most; bounds memory whatever the batch.
        half: What the module is cast to where it can be; None for float32 throughout.
        stream: Where its work is queued on a GPU, beside that of other networks.
    """

    aspect: str
    network: str
    input: PictureInput | ClipInput | SoundInput
    dim: int
    module: nn.Module
    device: torch.device
    max_rows: int
    half: torch.dtype | None = None
    stream: torch.cuda.Stream | None = None

    @property
    def kind(self) -> Literal["picture", "clip", "sound"]:
        """What the pieces are."""
        if isinstance(self.input, PictureInput):
            return "picture"
        return "clip" if isinstance(self.input, ClipInput) else "sound"

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        """Embeds a batch; see `streamer.extractor.Extractor.embed`.

        NaN samples count as silence; samples are cut 18 dB above full scale, infinite ones too.

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
            # From pinned memory the copy runs beside what the GPU is doing.
            pieces = pieces.pin_memory()
        pieces = pieces.to(self.device, non_blocking=True)
        if pieces.is_floating_point():
            pieces = pieces.nan_to_num(0.0, _LOUDEST, -_LOUDEST).clamp_(-_LOUDEST, _LOUDEST)
        tokens = self._cast(pieces)
        if self.half is not None:
            # What does not fit into few bits is rare, and done again in many.
            rows = ~tokens.isfinite().all(dim=1)
            if bool(rows.any()):
                tokens[rows] = self.module(pieces[rows.to(self.device)]).float().cpu()
        return tokens

    def _cast(self, pieces: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
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
    # The weights were queued on the device's common stream.
    torch.cuda.synchronize(device)
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not type it


def _channels_last(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)


def load_weights(module: nn.Module, network: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Strictly assigns weights to a module made on ``meta``.

    Buffers that are not weights are made on the CPU with ``persistent=False``.

    Args:
        module: Where they go.
        network: What to call it in an error.
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
