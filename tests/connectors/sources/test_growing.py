from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from streamer.connectors.sources import file as growing
from streamer.connectors.sources.file import GrowingSource
from streamer.errors import SourceIsFolder, SourceNotFound, SourceReplaced


def test_reads_what_is_there_and_then_what_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.touch()
    source = GrowingSource(path, idle_timeout=30.0)
    source.open()
    asked = threading.Event()

    def write() -> None:
        assert asked.wait(30)
        with path.open("ab") as file:
            file.write(b"two")

    writer = threading.Thread(target=write)
    writer.start()
    with path.open("ab") as file:
        file.write(b"one")
    assert source.read(100) == b"one"
    asked.set()
    assert source.read(100) == b"two"
    writer.join()
    source.close()


def test_ends_when_nothing_comes_for_the_idle_timeout(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(b"one")
    source = GrowingSource(path, idle_timeout=0.2)
    source.open()
    assert source.read(2) == b"on"
    assert source.read(2) == b"e"
    began = time.monotonic()
    assert source.read(2) == b""
    assert time.monotonic() - began >= 0.2
    # A demuxer asks again; what has ended stays so, and nobody waits twice.
    path.write_bytes(b"one more")
    assert source.read(2) == b""
    source.close()


def test_stop_ends_a_read_that_is_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With an hour between two looks, only being woken can end the read in time.
    monkeypatch.setattr(growing, "POLL_SECONDS", 3600.0)
    path = tmp_path / "a.ts"
    path.touch()
    source = GrowingSource(path, idle_timeout=7200.0)
    source.open()
    stopper = threading.Thread(target=source.stop)
    stopper.start()
    assert source.read(10) == b""
    stopper.join()
    assert source.stopped
    source.close()


def test_a_file_cut_short_under_the_reader_closes(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(b"123456")
    source = GrowingSource(path, idle_timeout=3600.0)
    source.open()
    assert source.read(6) == b"123456"
    assert source.fault() is None
    path.write_bytes(b"12")
    assert source.read(6) == b""
    assert isinstance(source.fault(), SourceReplaced)
    source.close()


def test_a_file_whose_name_another_takes_is_read_to_its_end_and_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "ROTATION_SECONDS", 0.2)
    path = tmp_path / "a.ts"
    path.write_bytes(b"123")
    source = GrowingSource(path, idle_timeout=3600.0)
    source.open()
    assert source.read(3) == b"123"
    moved = path.rename(tmp_path / "a.1.ts")
    path.write_bytes(b"new")
    with moved.open("ab") as file:
        file.write(b"456")
    assert source.read(100) == b"456"
    assert source.fault() is None
    assert source.read(100) == b""
    assert "replaced" in str(source.fault())
    source.close()
    again = GrowingSource(path, idle_timeout=0.1)
    again.open()
    assert again.read(100) == b"new"
    again.close()


def test_a_renamed_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(b"123")
    source = GrowingSource(path, idle_timeout=0.1)
    source.open()
    moved = path.rename(tmp_path / "b.ts")
    with moved.open("ab") as file:
        file.write(b"456")
    assert source.read(100) == b"123456"
    assert source.read(100) == b""
    source.close()


def test_missing_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        GrowingSource(tmp_path / "absent", 1.0).open()
    with pytest.raises(SourceIsFolder):
        GrowingSource(tmp_path, 1.0).open()


def test_reading_before_opening_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before open"):
        GrowingSource(tmp_path, 1.0).read(1)
