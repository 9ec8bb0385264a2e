from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from streamer.connectors.sources.file import FileSource
from streamer.errors import (
    SourceEmpty,
    SourceError,
    SourceIsFolder,
    SourceNotFound,
    SourcePermission,
)


def test_a_good_file_becomes_a_file_url(tmp_path: Path) -> None:
    path = tmp_path / "concat:odd name.mp4"
    path.write_bytes(b"x")
    source = FileSource(path)
    opening = source.open()
    assert (opening.target, opening.protocols) == (f"file:{path}", ("file",))
    assert not source.live


def test_missing_folder_empty_and_not_a_file_have_their_own_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "file.mp4").write_bytes(b"x")
    for name, error in [
        ("absent.mp4", SourceNotFound),
        ("file.mp4/below.mp4", SourceNotFound),
        (".", SourceIsFolder),
        ("empty.mp4", SourceEmpty),
        ("x" * 5000, SourceError),
    ]:
        with pytest.raises(error) as caught:
            FileSource(tmp_path / name).open()
        assert type(caught.value) is error
        assert "\n" not in str(caught.value)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(SourceError, match="neither a file nor a pipe"):
            FileSource(Path("s")).open()


def test_a_name_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(SourceError):
        FileSource(Path("a\0b")).open()


def test_no_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.geteuid() == 0:
        # Root may read everything, so the system's refusal has to be played.
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourcePermission):
        FileSource(path).open()


def test_stop_is_remembered(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "a")
    source.stop()
    assert source.stopped
