from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from streamer.errors import WeightsCorrupt
from streamer.models.weights.readers import read_pickled_npy, read_torch
from tests.limits import memory_limit


class Runs:
    """Unpickles into a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def object_npy(payload: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    npy.write_array_header_1_0(stream, header)
    return stream.getvalue() + payload


def hostile(tmp_path: Path) -> list[Any]:
    mark = tmp_path / "ran"
    return [
        Runs(os.system, f"touch {mark}"),
        Runs(eval, f"open({str(mark)!r}, 'w')"),
        Runs(Path.touch, mark),
        Runs(getattr, "x", "upper"),
        {"weights": [Runs(os.mkdir, str(mark))]},
    ]


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_npy_is_refused_and_does_not_run(tmp_path: Path, which: int, protocol: int) -> None:
    payload = pickle.dumps(hostile(tmp_path)[which], protocol=protocol)
    with pytest.raises(WeightsCorrupt, match="not allowed"):
        read_pickled_npy(object_npy(payload), "hostile.npy")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_torch_file_is_refused_and_does_not_run(
    tmp_path: Path, which: int, zipped: bool
) -> None:
    stream = io.BytesIO()
    torch.save(hostile(tmp_path)[which], stream, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsCorrupt, match=r"hostile\.pth"):
        read_torch(stream.getvalue(), "hostile.pth")
    assert not (tmp_path / "ran").exists()


def test_the_hostile_pickles_do_run_when_nothing_stops_them(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(hostile(tmp_path)[0]))
    assert (tmp_path / "ran").exists()


def test_npy_of_arrays_is_read() -> None:
    tree = {"conv1": {"weights": np.arange(6.0, dtype=np.float32).reshape(2, 3)}}
    stream = io.BytesIO()
    np.save(stream, np.array(tree, dtype=object), allow_pickle=True)
    found = read_pickled_npy(stream.getvalue(), "fine.npy")
    np.testing.assert_array_equal(found["conv1"]["weights"], tree["conv1"]["weights"])


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_file_of_tensors_and_numpy_numbers_is_read(zipped: bool) -> None:
    stream = io.BytesIO()
    saved = (OrderedDict(a=torch.arange(3.0)), {"classes": (np.int64(4), 9)})
    torch.save(saved, stream, _use_new_zipfile_serialization=zipped)
    state, numbers = read_torch(stream.getvalue(), "fine.pth")
    assert torch.equal(state["a"], torch.arange(3.0))
    assert numbers == {"classes": (4, 9)}


def repacked(data: bytes, compression: int) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(stream, "w", compression) as new,
    ):
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    return stream.getvalue()


def torch_file(tree: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(tree, stream)
    return stream.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_compressed_members_are_refused_before_they_grow(compression: int) -> None:
    data = repacked(torch_file({"w": torch.zeros(1 << 26)}), compression)
    assert len(data) < 1 << 20
    with memory_limit(64), pytest.raises(WeightsCorrupt, match="compressed"):
        read_torch(data, "bomb.pth")


def test_a_zip_with_two_tables_of_contents_does_not_hide_compressed_members() -> None:
    def parts(tensor: torch.Tensor, compression: int) -> tuple[bytes, bytes]:
        data = repacked(torch_file({"w": tensor}), compression)
        end = data.rindex(b"PK\5\6")
        return data[:end], data[end:]

    # One reader believes the end record's offset and sees the first archive; one that looks right
    # before the end record sees the second, when both are equally long.
    packed, end = parts(torch.zeros(1 << 20), zipfile.ZIP_DEFLATED)
    count = 1
    while True:
        plain, _ = parts(torch.ones(count, dtype=torch.uint8), zipfile.ZIP_STORED)
        if len(plain) == len(packed):
            break
        count += len(packed) - len(plain)
    with zipfile.ZipFile(io.BytesIO(packed + plain + end)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert read_torch(packed + plain + end, "two.pth")["w"].numel() == count


def test_members_that_share_their_bytes_are_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", bytes(1 << 16))
        for _ in range(64):
            archive.filelist.append(archive.filelist[0])
    with pytest.raises(WeightsCorrupt, match="more than the file"):
        read_torch(stream.getvalue(), "shared.pth")


def test_storage_that_is_only_announced_is_refused() -> None:
    stream = io.BytesIO()
    torch.save({"w": torch.zeros(77)}, stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue()
    # The number of values, as a byte, becomes one of four bytes.
    assert data.count(b"KM") >= 1
    for large in (1 << 30, (1 << 31) - 1):
        hostile = data.replace(b"KM", b"J" + large.to_bytes(4, "little"))
        with memory_limit(64), pytest.raises(WeightsCorrupt):
            read_torch(hostile, "old.pth")


def test_plain_npy_is_refused() -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    with pytest.raises(WeightsCorrupt, match="one object"):
        read_pickled_npy(stream.getvalue(), "plain.npy")


@settings(max_examples=200)
@given(payload=st.binary(max_size=200))
def test_garbage_is_refused(payload: bytes) -> None:
    for data in (payload, object_npy(b"\x80\x02" + payload)):
        try:
            found = read_pickled_npy(data, "garbage")
        except WeightsCorrupt:
            continue
        assert not callable(found) or isinstance(found, type | np.ndarray)
    with pytest.raises(WeightsCorrupt):
        read_torch(payload, "garbage")
