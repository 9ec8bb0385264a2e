from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import WeightsCorrupt
from streamer.models.weights.readers import read_keras
from tests.limits import memory_limit

KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4)


def model() -> tuple[io.BytesIO, h5py.File]:
    stream = io.BytesIO()
    file = h5py.File(stream, "w")
    layer = file.create_group("model_weights/dense_1/dense_1")
    layer.create_dataset("kernel:0", data=KERNEL)
    layer.create_dataset("steps:0", data=np.arange(3))
    file.attrs["model_config"] = b"{}"
    return stream, file


def plain() -> bytes:
    stream, file = model()
    file.close()
    return stream.getvalue()


WHOLE = plain()


def test_float_tensors_by_their_path() -> None:
    tensors = read_keras(WHOLE, "x")
    assert list(tensors) == ["dense_1/dense_1/kernel"]
    np.testing.assert_array_equal(tensors["dense_1/dense_1/kernel"], KERNEL)


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other.create_dataset("x", data=KERNEL)
    raw = tmp_path / "raw"
    raw.write_bytes(KERNEL.tobytes())

    def add_link(group: h5py.Group) -> None:
        group["kernel:0"] = h5py.ExternalLink(str(secret), "x")

    def add_soft(group: h5py.Group) -> None:
        group["kernel:0"] = h5py.SoftLink("/model_weights")

    def add_external(group: h5py.Group) -> None:
        group.create_dataset("kernel:0", (3, 4), "f4", external=[(str(raw), 0, 48)])

    def add_virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((3, 4), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "x", (3, 4))
        group.create_virtual_dataset("kernel:0", layout)

    for add in (add_link, add_soft, add_external, add_virtual):
        stream, file = model()
        add(file.create_group("model_weights/evil"))
        file.close()
        with pytest.raises(WeightsCorrupt, match=r"x: .*not stored in"):
            read_keras(stream.getvalue(), "x")


def test_bombs_are_refused() -> None:
    stream, file = model()
    group = file.create_group("model_weights/evil")
    group.create_dataset("zeros", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")
    file.close()
    with pytest.raises(WeightsCorrupt, match="not stored in one piece"):
        read_keras(stream.getvalue(), "x")
    for size in (1 << 40, 1 << 24):
        stream, file = model()
        file["model_weights"].create_dataset("lazy", (size,), "f4")
        file.close()
        with memory_limit(32), pytest.raises(WeightsCorrupt, match="not stored in the file"):
            read_keras(stream.getvalue(), "x")


def test_all_tensors_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, file = model()
    file["model_weights"].create_dataset("more:0", data=KERNEL)
    file.close()
    monkeypatch.setattr("streamer.models.weights.readers.MAX_KERAS_VALUES", 2 * KERNEL.size)
    assert len(read_keras(stream.getvalue(), "x")) == 2
    monkeypatch.setattr("streamer.models.weights.readers.MAX_KERAS_VALUES", 2 * KERNEL.size - 1)
    with pytest.raises(WeightsCorrupt, match="too large"):
        read_keras(stream.getvalue(), "x")


def test_what_is_linked_again_is_refused() -> None:
    stream, file = model()
    file["model_weights/again"] = file["model_weights"]
    file.close()
    with pytest.raises(WeightsCorrupt, match="is linked twice"):
        read_keras(stream.getvalue(), "x")
    stream, file = model()
    file["model_weights/other:0"] = file["model_weights/dense_1/dense_1/kernel:0"]
    file.close()
    with pytest.raises(WeightsCorrupt, match="other:0 is linked twice"):
        read_keras(stream.getvalue(), "x")


def test_groups_that_share_groups_are_not_walked_again_and_again() -> None:
    stream, file = model()
    group = file["model_weights"]
    for _ in range(7):
        below = group.create_group("n")
        for link in range(8):
            group[f"l{link}"] = below
        group = below
    file.close()
    began = time.process_time()
    with pytest.raises(WeightsCorrupt, match="linked twice"):
        read_keras(stream.getvalue(), "x")
    # 9**7 visits would take an hour.
    assert time.process_time() - began < 5


def test_deep_nesting_is_refused() -> None:
    stream, file = model()
    file["model_weights"].create_group("/".join("a" * 12)).create_dataset("x", data=KERNEL)
    file.close()
    with pytest.raises(WeightsCorrupt, match="nested"):
        read_keras(stream.getvalue(), "x")


@pytest.mark.parametrize("data", [b"", b"PK\3\4", WHOLE[:100], WHOLE[: len(WHOLE) // 2]])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(WeightsCorrupt):
        read_keras(data, "x")


@settings(max_examples=60)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_damage_raises_nothing_else(at: int, by: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= by
    with contextlib.suppress(WeightsCorrupt):
        read_keras(bytes(damaged), "x")
