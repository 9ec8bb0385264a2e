"""A stream's state is whole, private and never taken for another's."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import stat
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy

from streamer.config.folders import safe_file_name
from streamer.connectors.sources.file import FileFingerprint
from streamer.errors import StateDamaged, StateError
from streamer.files import write_atomically
from streamer.live import state
from streamer.live.state import Head, Saved, StateFile
from streamer.pipeline.resume_point import ResumePoint
from streamer.saved import MAGIC
from streamer.shots.fixed import WindowState
from streamer.timeline import Timestamp
from tests import first_release
from tests.limits import memory_limit

if TYPE_CHECKING:
    from pathlib import Path

HEAD = Head(
    stream="a", source="s", epoch=2, exact=True, wall=1.5, base=3.25, shots=7, scenes=2,
    boundaries=1,
)  # fmt: skip
SAVED = Saved(HEAD, bytes(range(256)), None)
BASE = Fraction(1, 25)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "deep" / "folder", "a")
    assert file.load() is None
    file.save(SAVED)
    assert file.load() == SAVED
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    names = sorted(os.listdir(file.path.parent))  # noqa: PTH208 -- names are enough
    assert names == [file.epoch_path.name, file.path.name]
    file.delete()
    file.delete()
    assert file.load() is None


def test_a_state_of_the_first_release_is_loaded_and_written_anew(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    mark = ResumePoint(
        Timestamp(3, BASE), 1, WindowState(Timestamp(0, BASE), Timestamp(5, BASE), 2, 7)
    )
    for saved in (SAVED, replace(SAVED, mark=mark)):
        file.path.write_bytes(first_release.state(saved))
        assert StateFile(tmp_path, "a").load() == saved
        file.save(saved)
        assert file.path.read_bytes().startswith(MAGIC)
        assert file.load() == saved
    # Inputs were not always known again.
    values = SAVED.head.model_dump(mode="json", exclude={"beginning"})
    arrays = {"segmentation": np.frombuffer(SAVED.segmentation, np.uint8)}
    safetensors.numpy.save_file(arrays, file.path, {"stream": json.dumps(values)})
    assert file.load() == SAVED


def test_what_an_input_began_with_is_kept(tmp_path: Path) -> None:
    beginning = FileFingerprint(offset=0, length=3, digest="ab" * 32, size=9)
    saved = Saved(HEAD.model_copy(update={"beginning": beginning}), b"", None)
    file = StateFile(tmp_path, "a")
    file.save(saved)
    assert file.load() == saved


def test_damage_is_noticed(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    whole = file.path.read_bytes()
    for damaged in (b"", b"{}", whole[:50], whole[:-1], whole[10:], whole + b"x", b"\xff" * 200):
        file.path.write_bytes(damaged)
        with pytest.raises(StateDamaged, match=file.path.name):
            file.load()
    StateFile(tmp_path, "b").save(Saved(HEAD, b"", None))
    with pytest.raises(StateDamaged, match="another stream"):
        StateFile(tmp_path, "b").load()


def test_a_flipped_bit_in_any_byte_is_noticed(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    for path in (file.path, file.epoch_path):
        whole = path.read_bytes()
        for at in range(len(whole)):
            broken = bytearray(whole)
            broken[at] ^= 1 << at % 8
            path.write_bytes(broken)
            again = StateFile(tmp_path, "a")
            if path == file.path:
                with pytest.raises(StateDamaged):
                    again.load()
            # Either file is enough to tell which epochs are used.
            assert again.load() == SAVED if path != file.path else again._epoch == 2
        path.write_bytes(whole)


def test_a_lost_state_continues_in_an_epoch_that_was_never_used(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    numbers = [2]
    for damage in range(6):
        file.path.write_bytes(b"damage %d" % damage)
        numbers.append(StateFile(tmp_path, "a").lose(None, now=100.0))
        # Killed before it could be saved: it is lost again.
        with pytest.raises(StateDamaged, match="lost"):
            StateFile(tmp_path, "a").load()
        numbers.append(StateFile(tmp_path, "a").lose(None, now=100.0))
    assert numbers == sorted(set(numbers))
    assert all(after - before >= 2 for before, after in itertools.pairwise(numbers))
    aside = sorted(tmp_path.glob("*.damaged*"))
    assert len(aside) == 4
    assert {each.read_bytes() for each in aside} == {b"damage %d" % one for one in (2, 3, 4, 5)}
    assert StateFile(tmp_path, "a").lose(1000, now=100.0) == 1001


def test_without_both_files_the_clock_tells_an_epoch(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    file.epoch_path.write_bytes(b"damaged")
    file.path.write_bytes(b"damaged")
    os.utime(file.path, (5e9, 5e9))
    file = StateFile(tmp_path, "a")
    # What is tried out keeps its time.
    file.try_out()
    # The clock was set back since.
    assert file.lose(None, now=100.0) == 5_000_000_001
    file = StateFile(tmp_path, "b")
    file.path.write_bytes(b"damaged")
    assert file.lose(None, now=9e9) == 9_000_000_001


def test_a_newer_state_is_left_alone(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    data = bytearray(file.path.read_bytes())
    data[6] += 1
    data[24:56] = hashlib.sha256(bytes(data[:24] + data[56:])).digest()
    file.path.write_bytes(data)
    with pytest.raises(StateError, match="written by a newer version") as caught:
        file.load()
    assert not isinstance(caught.value, StateDamaged)


def test_a_new_stream_that_was_never_saved_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def spy(path: Path, content: bytes, *, mode: int, alone: bool) -> None:
        written.append(path)
        write_atomically(path, content, mode=mode, alone=alone)

    monkeypatch.setattr(state, "write_atomically", spy)
    file = StateFile(tmp_path, "a")
    file.save(SAVED)
    file.save(SAVED)
    later = Saved(HEAD.model_copy(update={"epoch": 3}), b"", None)
    file.save(later)
    # A kill between two writes leaves a state first, then an epoch that is not too low.
    one, two = file.path, file.epoch_path
    assert written == [one, two, one, two, one]
    file.delete()
    assert StateFile(tmp_path, "a").load() is None


def test_too_large_a_file_is_not_read_whole(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "a")
    with file.path.open("wb") as large:
        large.truncate(1 << 40)
    with memory_limit(400), pytest.raises(StateDamaged):
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
