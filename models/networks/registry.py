"""Find networks by name, in this package or any installed one, and build extractors of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from importlib import import_module
from importlib.metadata import packages_distributions
from typing import Protocol

import numpy as np
import torch
from torch import nn

from streamer.errors import ConfigError, ExtractionError, PluginError
from streamer.extractor import ClipInput, Extractor, SoundInput
from streamer.models.networks.base import Architecture
from streamer.plugins import BUILT_IN, Aspect, Guard, find, nearest, table

_INSTALLED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class Weights(Protocol):
    """Source of tensors; `streamer.models.weights.store.WeightStore` is one."""

    def load(self, network: str) -> dict[str, torch.Tensor]:
        """Return the tensors of a network by name, float32 on the CPU."""


def names() -> tuple[str, ...]:
    """Return the names of all networks of this package."""
    return tuple(BUILT_IN["aspects"])


def architecture(network: str) -> Architecture:
    """Look up a network.

    Args:
        network: Name in the settings: one of this package's or of an installed plug-in, or
            ``module:ATTRIBUTE`` of an installed distribution.

    Raises:
        ConfigError: No such network exists; the message lists those that do.
        PluginError: The plug-in cannot be used.
    """
    if ":" in network:
        return _installed(network)
    plugin = find("aspects", network)
    if plugin is None:
        raise ConfigError(f"no network is called {network}; {nearest(network, table('aspects'))}")
    found = plugin.load()
    if isinstance(found, Architecture):
        return found if plugin.built_in else _guarded(found, network, plugin.label)
    if isinstance(found, type) and issubclass(found, Aspect):
        return _described(found, network, plugin.label)
    raise PluginError(
        f"{plugin.label}: {plugin.target} is neither a subclass of streamer.plugins.Aspect nor an "
        "Architecture"
    )


def _installed(network: str) -> Architecture:
    """Import a network of another distribution.

    Settings may come from someone who must not choose what code runs: only modules of installed
    distributions are imported, never a file in the working folder.
    """
    module, _, attribute = network.partition(":")
    if not _INSTALLED.fullmatch(network):
        raise ConfigError(f"{network} is not of the form module:ATTRIBUTE")
    if module.partition(".")[0] not in packages_distributions():
        raise ConfigError(f"{network}: no installed distribution provides the module")
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError as error:
        raise ConfigError(f"{network}: cannot be imported: {error}") from error
    if not isinstance(found, Architecture):
        raise ConfigError(f"{network} is not an Architecture")
    return _guarded(found, network, f"aspect plug-in {network}")


def _guarded(found: Architecture, network: str, label: str) -> Architecture:
    """Run an installed network on a thread of its own, under its name in the settings."""
    if found.weights:
        raise ConfigError(f"{network} has no weights in the store: it must say weights=False")
    module, dim = found.module, found.dim
    return replace(found, name=network, module=lambda: _Guarded(module, dim, label))


def _described(kind: type[Aspect], network: str, label: str) -> Architecture:
    """Describe an `Aspect` as a network; its first token, of silence or black, tells ``dim``."""
    guard = Guard(label, PluginError)
    made = guard.call(_Numeric, kind)
    accepts = kind.input
    if isinstance(accepts, SoundInput):
        piece = torch.zeros(1, accepts.window)
    else:
        frames = (accepts.frames, 1) if isinstance(accepts, ClipInput) else (3,)
        piece = torch.zeros(1, *frames, accepts.height, accepts.width, dtype=torch.uint8)
    token = guard.call(made, piece)
    guard.close()
    if token.ndim != 2 or token.shape[0] != 1 or token.shape[1] == 0:
        raise PluginError(f"{label}: embed gave {tuple(token.shape)}, expected (1, dim)")
    architecture = Architecture(
        name=network,
        slots=(),
        module=partial(_Numeric, kind),
        input=accepts,
        dim=int(token.shape[1]),
        max_rows=kind.batch,
        channels_last=False,
        weights=False,
    )
    return _guarded(architecture, network, label)


class _Numeric(nn.Module):
    """Call an `Aspect` with arrays."""

    def __init__(self, kind: type[Aspect]) -> None:
        super().__init__()
        self._aspect = kind()

    def forward(self, pieces: torch.Tensor) -> torch.Tensor:
        """Embed a batch on the CPU."""
        tokens = np.asarray(self._aspect.embed(pieces.cpu().numpy()), dtype=np.float32)
        return torch.from_numpy(np.array(tokens))


class _Guarded(nn.Module):
    """Check what an installed network gives, and name it where it fails."""

    def __init__(self, module: Callable[[], nn.Module], dim: int, label: str) -> None:
        super().__init__()
        self._guard, self._dim = Guard(label, ExtractionError), dim
        self.inner = self._guard.call(module)
        if not isinstance(self.inner, nn.Module):
            raise PluginError(f"{label}: module gave {type(self.inner).__name__}, not a Module")

    def forward(self, pieces: torch.Tensor) -> torch.Tensor:
        """Embed a batch; rows may be NaN throughout, and finite otherwise."""
        kind = pieces.device.type
        autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        stream = torch.cuda.current_stream(pieces.device) if pieces.is_cuda else None
        tokens = self._guard.call(_forward, self.inner, pieces, autocast, stream)
        if not isinstance(tokens, torch.Tensor):
            raise self._guard.error(f"gave {type(tokens).__name__}, expected a tensor")
        if tuple(tokens.shape) != (len(pieces), self._dim):
            raise self._guard.error(
                f"gave tokens {tuple(tokens.shape)}, expected {(len(pieces), self._dim)}"
            )
        finite = tokens.isfinite().all(dim=1) | tokens.isnan().all(dim=1)
        if not bool(finite.all()):
            raise self._guard.error("gave a token that is not finite")
        return tokens


def _forward(
    module: nn.Module,
    pieces: torch.Tensor,
    autocast: torch.dtype | None,
    stream: torch.cuda.Stream | None,
) -> torch.Tensor:
    # Modes and streams hold for one thread; these are the caller's.
    kind = pieces.device.type
    with (
        torch.inference_mode(),
        torch.cuda.stream(stream),
        torch.autocast(kind, autocast, enabled=autocast is not None),
    ):
        tokens: torch.Tensor = module(pieces)
    return tokens


def build(
    aspect: str,
    network: str,
    store: Weights,
    device: torch.device,
    interval: Fraction,
    *,
    mixed_precision: bool = True,
) -> Extractor:
    """Build the extractor that fills a slot.

    Args:
        aspect: The slot, e.g. ``place``.
        network: Its network, e.g. ``efficientnet-lite0``.
        store: Source of the weights.
        device: Device it runs on.
        interval: Seconds between two key frames of a shot; pictures only.
        mixed_precision: Whether a GPU may compute in half precision where the network allows it.

    Raises:
        ConfigError: No such network exists, or it cannot fill this slot.
        WeightsMissing: Its weights have not been pulled.
        WeightsCorrupt: Its weights are damaged.
    """
    try:
        found = architecture(network)
    except ConfigError as error:
        raise ConfigError(f"aspects.{aspect}.network: {error}") from error
    if found.slots and aspect not in found.slots:
        fitting = ", ".join(name for name in names() if aspect in architecture(name).slots)
        raise ConfigError(
            f"aspects.{aspect}.network: {network} fills {', '.join(found.slots)};"
            f" {aspect} can be filled by {fitting or 'no network there is'}"
        )
    tensors = store.load(network) if found.weights else {}
    return found.build(aspect, tensors, device, interval, mixed_precision=mixed_precision)
