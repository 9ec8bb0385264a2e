from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from models.weights.readers.pickles import read_pickled_npy, read_torch
from streamer.errors import WeightsCorrupt


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
