from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from streamer.errors import ConfigError, WeightsCorrupt
from streamer.models.weights.convert import DIGESTS, convert, digest, serialise
from streamer.models.weights.manifest import MANIFEST, pinned
from streamer.models.weights.store import WeightStore


def test_bytes_do_not_depend_on_order_or_layout() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    plain = serialise({"a": array, "b": array.T})
    other = serialise({"b": np.ascontiguousarray(array.T), "a": np.asfortranarray(array)})
    assert plain == other
    found = load(plain)
    np.testing.assert_array_equal(found["b"], array.T)


def test_every_tensor_has_its_digest() -> None:
    array = np.arange(4, dtype=np.float32)
    data = serialise({"a": array})
    size = int.from_bytes(data[:8], "little")
    digests = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][DIGESTS])
    assert digests == {"a": digest(array.tobytes())}


def test_a_release_file_other_than_the_pinned_one_is_not_even_opened(tmp_path: Path) -> None:
    entry = pinned("soundnet-conv5")
    fake = tmp_path / entry.releases[0].file
    fake.write_bytes(b"not the release")
    found = hashlib.sha256(b"not the release").hexdigest()
    with pytest.raises(WeightsCorrupt, match=f"{found}.*{entry.releases[0].sha256}"):
        convert(entry, [fake])


def test_converted_sizes_are_as_pinned(weight_store: WeightStore) -> None:
    for network, entry in MANIFEST.items():
        assert weight_store.path(network).stat().st_size == entry.size


def test_unknown_network_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"nope.*aisfx-cnn9.*yamnet"):
        pinned("nope")
