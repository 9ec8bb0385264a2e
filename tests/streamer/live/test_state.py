"""A stream's state is whole, private and never taken for another's."""

from __future__ import annotations

import json
import os
import resource
import stat
from typing import TYPE_CHECKING

import pytest
import safetensors.numpy

from streamer.config.folders import safe_file_name
from streamer.connectors.sources.beginning import Beginning
from streamer.errors import StateError
from streamer.live import state
from streamer.live.state import Head, Saved, StateFile

if TYPE_CHECKING:
    from pathlib import Path

HEAD = Head(
    stream="a", source="s", epoch=2, exact=True, wall=1.5, base=3.25, shots=7, scenes=2,
    boundaries=1,
)  # fmt: skip
SAVED = Saved(HEAD, bytes(range(256)), None)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "deep" / "folder", "a")
    assert file.load() is None
    file.save(SAVED)
    assert file.load() == SAVED
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert os.listdir(file.path.parent) == [file.path.name]  # noqa: PTH208 -- names are enough
    file.delete()
    file.delete()
    assert file.load() is None


def test_a_state_from_before_inputs_were_known_again_is_loaded(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    with safetensors.safe_open(file.path, framework="numpy") as saved:
        arrays = {"segmentation": saved.get_tensor("segmentation")}
        head = json.loads(saved.metadata()["stream"])
    del head["beginning"]
    safetensors.numpy.save_file(arrays, file.path, {"stream": json.dumps(head)})
    assert file.load() == SAVED


def test_what_an_input_began_with_is_kept(tmp_path: Path) -> None:
    beginning = Beginning(offset=0, length=3, digest="ab" * 32, size=9)
    saved = Saved(HEAD.model_copy(update={"beginning": beginning}), b"", None)
    file = StateFile(tmp_path, "a")
    file.save(saved)
    assert file.load() == saved


def test_damage_is_noticed(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    whole = file.path.read_bytes()
    for damaged in (b"", b"{}", whole[:50], whole[:-1], whole[10:], b"\xff" * 200):
        file.path.write_bytes(damaged)
        with pytest.raises(StateError):
            file.load()
    StateFile(tmp_path, "b").save(Saved(HEAD, b"", None))
    with pytest.raises(StateError, match="another stream"):
        StateFile(tmp_path, "b").load()


def test_too_large_a_file_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    monkeypatch.setattr(state, "MAX_BYTES", 10)
    with pytest.raises(StateError, match="too large"):
        file.load()


def test_a_write_that_fails_leaves_the_old_state(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StateError, match="File too large"):
            file.save(Saved(HEAD, b"new", None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.load() == SAVED


def test_names_never_meet_and_never_leave_the_folder() -> None:
    names = ["a", "A", "a b", "a-b", "..", "../x", "é", "x" * 200, "x" * 199 + "y", ""]
    files = [safe_file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in files)
