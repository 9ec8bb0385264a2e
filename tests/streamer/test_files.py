"""A file is replaced as a whole, is on the disk when that is said, and has the mode asked for."""

from __future__ import annotations

import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from streamer.files import PRIVATE, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("mode", "folder"), [(0o644, 0o755), (PRIVATE, 0o700)])
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_mode_of_file_and_folder(tmp_path: Path, mode: int, folder: int, mask: int) -> None:
    path = tmp_path / "deep" / "folder" / "x"
    before = os.umask(mask)
    try:
        write_atomically(path, b"new", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE(path.parent.stat().st_mode) == folder & ~mask
    assert (path.read_bytes(), names(path.parent)) == (b"new", ["x"])


def test_the_file_is_synced_before_it_has_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    sync, seen = os.fsync, []

    def spy(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, path.read_bytes()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    write_atomically(path, b"new")
    assert seen == [("file", b"old"), ("folder", b"new")]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(path, bytes(1001))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["x"])


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    contents = [bytes([number]) * 200_000 for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_atomically(path, content), contents))
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["x"]


def test_what_a_crash_left_beside_a_file_of_one_writer_is_taken_by_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    (tmp_path / ".x.new").write_bytes(b"half of something longer")
    write_atomically(path, b"new", mode=PRIVATE, alone=True)
    assert (path.read_bytes(), names(tmp_path)) == (b"new", ["x"])
    (tmp_path / ".x.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        write_atomically(path, b"newer", mode=PRIVATE, alone=True)
    assert not (tmp_path / "elsewhere").exists()
