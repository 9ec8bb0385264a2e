"""Find networks by name, in this package or any installed one, and build extractors of them."""

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

# Network → its module and attribute, imported on use.
_NETWORKS: Mapping[str, str] = {
    "efficientnet-lite0": "efficientnet_lite0:NETWORK",
    "ge2e": "ge2e:NETWORK",
    "yamnet": "yamnet:NETWORK",
    "aisfx-cnn9": "aisfx_cnn9:NETWORK",
    "soundnet-conv5": "soundnet_conv5:NETWORK",
    "musicnn-mtt": "musicnn_mtt:NETWORK",
    "mtcnn-dlib": "mtcnn_dlib:NETWORK",
    "grid-flow": "grid_flow:NETWORK",
    "ina-smn": "ina_smn:NETWORK",
    "resnet50-places365": "resnet50_places365:NETWORK",
    "mtcnn-facenet": "mtcnn_facenet:NETWORK",
    "lgss-audnet": "lgss_audnet:NETWORK",
    "deep-speaker": "deep_speaker:NETWORK",
    "vggish": "vggish:VGGISH",
    "vggish-pca": "vggish:VGGISH_PCA",
    "panns-cnn14": "panns:CNN14",
    "panns-wavegram-logmel-cnn14": "panns:WAVEGRAM_LOGMEL_CNN14",
    "openl3-music-mel256-512": "openl3:NETWORK",
}

_INSTALLED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class Weights(Protocol):
    """Source of tensors; `streamer.models.weights.store.WeightStore` is one."""

    def load(self, network: str) -> dict[str, torch.Tensor]:
        """Return the tensors of a network by name, float32 on the CPU."""


def names() -> tuple[str, ...]:
    """Return the names of all networks of this package."""
    return tuple(_NETWORKS)


def architecture(network: str) -> Architecture:
    """Look up a network.

    Args:
        network: Name in the settings: one of this package's, or ``module:ATTRIBUTE`` of an
            installed distribution.

    Raises:
        ConfigError: No such network exists; the message lists those that do.
    """
    if ":" in network:
        return _installed(network)
    if network not in _NETWORKS:
        known = ", ".join(sorted(_NETWORKS))
        raise ConfigError(f"no network is called {network}; there are {known}")
    module, _, attribute = _NETWORKS[network].partition(":")
    found = getattr(import_module(f"streamer.models.networks.{module}"), attribute)
    if not isinstance(found, Architecture):
        raise TypeError(f"{_NETWORKS[network]} is not an Architecture")
    return found


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
    if aspect not in found.slots:
        fitting = ", ".join(name for name in _NETWORKS if aspect in architecture(name).slots)
        raise ConfigError(
            f"aspects.{aspect}.network: {network} fills {', '.join(found.slots)};"
            f" {aspect} can be filled by {fitting or 'no network there is'}"
        )
    tensors = store.load(network) if found.weights else {}
    return found.build(aspect, tensors, device, interval, mixed_precision=mixed_precision)
