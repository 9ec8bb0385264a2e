"""Which networks there are: those of this package, and any installed module's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from importlib.metadata import packages_distributions
from typing import Protocol

import torch

from streamer.errors import ConfigError
from streamer.extractor import Extractor
from streamer.models.networks.base import Architecture

# Network → the module whose NETWORK describes it; imported when asked for.
_MODULES: Mapping[str, str] = {
    "efficientnet-lite0": "efficientnet_lite0",
    "ge2e": "ge2e",
    "yamnet": "yamnet",
    "aisfx-cnn9": "aisfx_cnn9",
    "soundnet-conv5": "soundnet_conv5",
    "musicnn-mtt": "musicnn_mtt",
    "mtcnn-dlib": "mtcnn_dlib",
    "grid-flow": "grid_flow",
    "ina-smn": "ina_smn",
    "resnet50-places365": "resnet50_places365",
    "mtcnn-facenet": "mtcnn_facenet",
    "lgss-audnet": "lgss_audnet",
    "deep-speaker": "deep_speaker",
    "vggish": "vggish",
    "vggish-pca": "vggish_pca",
    "panns-cnn14": "panns_cnn14",
    "panns-wavegram-logmel-cnn14": "panns_wavegram",
    "openl3-music-mel256-512": "openl3",
}

_ELSEWHERE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class Weights(Protocol):
    """Where `build` gets tensors from; `streamer.models.weights.store.WeightStore` is one."""

    def load(self, network: str) -> dict[str, torch.Tensor]:
        """Tensors of a network by name, float32 on the CPU."""


def names() -> tuple[str, ...]:
    """Every network of this package, by its name in the settings."""
    return tuple(_MODULES)


def architecture(network: str) -> Architecture:
    """Looks a network up.

    Args:
        network: Name in the settings: one of this package's, or ``module:ATTRIBUTE`` of an
            installed distribution.

    Returns:
        What there is to know about it apart from its weights.

    Raises:
        ConfigError: There is no such network; the message lists those there are.
    """
    if ":" in network:
        return _installed(network)
    if network not in _MODULES:
        known = ", ".join(sorted(_MODULES))
        raise ConfigError(f"no network is called {network}; there are {known}")
    found = import_module(f"streamer.models.networks.{_MODULES[network]}").NETWORK
    if not isinstance(found, Architecture):
        raise TypeError(
            f"streamer.models.networks.{_MODULES[network]}.NETWORK is not an Architecture"
        )
    return found


def _installed(network: str) -> Architecture:
    """A network from elsewhere.

    Settings may come from someone who should not choose what code runs: only what a distribution
    installed on this machine provides is imported, never a file that happens to lie about.
    """
    module, _, attribute = network.partition(":")
    if not _ELSEWHERE.fullmatch(network):
        raise ConfigError(f"{network} is not of the form module:ATTRIBUTE")
    if module.partition(".")[0] not in packages_distributions():
        raise ConfigError(f"{network}: no installed distribution provides the module")
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError as error:
        raise ConfigError(f"{network}: cannot be imported: {error}") from error
    if not isinstance(found, Architecture):
        raise ConfigError(f"{network} is not an Architecture")
    if found.weights:
        raise ConfigError(f"{network} has no weights in the store: it must say weights=False")
    return replace(found, name=network)


def build(
    aspect: str,
    network: str,
    store: Weights,
    device: torch.device,
    interval: Fraction,
    *,
    few_bits: bool = True,
) -> Extractor:
    """Makes the extractor that fills a slot.

    Args:
        aspect: The slot, e.g. ``place``.
        network: Its network, e.g. ``efficientnet-lite0``.
        store: Where the weights are.
        device: Where it runs.
        interval: Seconds between two key frames of a shot; only pictures use it.
        few_bits: Whether a GPU may compute in half precision where the network bears it.

    Returns:
        An extractor ready to embed.

    Raises:
        ConfigError: There is no such network, or it cannot fill this slot.
        WeightsMissing: Its weights have not been pulled.
        WeightsCorrupt: Its weights are damaged.
    """
    try:
        found = architecture(network)
    except ConfigError as error:
        raise ConfigError(f"aspects.{aspect}.network: {error}") from error
    if aspect not in found.slots:
        fitting = ", ".join(name for name in _MODULES if aspect in architecture(name).slots)
        raise ConfigError(
            f"aspects.{aspect}.network: {network} fills {', '.join(found.slots)};"
            f" {aspect} can be filled by {fitting or 'no network there is'}"
        )
    tensors = store.load(network) if found.weights else {}
    return found.build(aspect, tensors, device, interval, few_bits=few_bits)
