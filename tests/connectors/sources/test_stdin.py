from __future__ import annotations

import fcntl
import os
import resource
import threading
import time
from pathlib import Path

import pytest

from streamer.connectors.sources import stdin
from streamer.connectors.sources.stdin import PipeSource


@pytest.fixture
def pipe() -> object:
    read, write = os.pipe()
    ends = {"read": read, "write": write}
    yield ends
    for end in ends.values():
        if end >= 0:
            os.close(end)


def close_writer(pipe: dict[str, int]) -> None:
    os.close(pipe["write"])
    pipe["write"] = -1


def test_reads_until_the_other_end_closes(pipe: dict[str, int]) -> None:
    source = PipeSource(pipe["read"])
    source.open()
    os.write(pipe["write"], b"abcdef")
    assert source.read(4) == b"abcd"
    assert source.read(4) == b"ef"
    close_writer(pipe)
    assert source.read(4) == b""
    source.close()
    os.fstat(pipe["read"])  # standard input is not ours to close


def test_idle_timeout_ends_a_silent_pipe(pipe: dict[str, int]) -> None:
    source = PipeSource(pipe["read"], idle_timeout=0.15)
    source.open()
    began = time.monotonic()
    assert source.read(4) == b""
    assert time.monotonic() - began >= 0.15
    source.close()


def test_stop_wakes_a_waiting_read(pipe: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin, "WAIT_SECONDS", 3600.0)
    source = PipeSource(pipe["read"])
    source.open()
    stopper = threading.Thread(target=source.stop)
    stopper.start()
    assert source.read(4) == b""
    stopper.join()
    source.close()
    source.close()
    source.stop()


def test_stop_before_open_ends_the_first_read(pipe: dict[str, int]) -> None:
    source = PipeSource(pipe["read"])
    source.stop()
    os.write(pipe["write"], b"x")
    source.open()
    assert source.read(1) == b""
    source.close()


def test_a_process_may_have_many_descriptors_open(pipe: dict[str, int]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    high = fcntl.fcntl(pipe["read"], fcntl.F_DUPFD_CLOEXEC, 1500)
    try:
        source = PipeSource(high)
        source.open()
        os.write(pipe["write"], b"abc")
        assert source.read(4) == b"abc"
        close_writer(pipe)
        assert source.read(4) == b""
        source.close()
    finally:
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_as_standard_input_is_read(tmp_path: Path) -> None:
    (tmp_path / "film.ts").write_bytes(b"abc")
    with (tmp_path / "film.ts").open("rb") as file:
        source = PipeSource(file.fileno())
        source.open()
        assert source.read(4) == b"abc"
        assert source.read(4) == b""
        source.close()


def test_a_named_pipe_waits_for_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    source = PipeSource(path)
    source.open()

    def write() -> None:
        with path.open("wb") as file:
            file.write(b"late")

    writer = threading.Thread(target=write)
    writer.start()
    assert source.read(10) == b"late"
    writer.join()
    assert source.read(10) == b""
    source.close()
    assert source.name == str(path)
