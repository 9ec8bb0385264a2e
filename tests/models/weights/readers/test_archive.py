from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from streamer.errors import WeightsCorrupt
from streamer.models.weights.readers import read_member


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_members_of_both_kinds_and_of_a_zip_inside(tmp_path: Path) -> None:
    inner = zipped({"deep/model": b"inner"})
    for name, pack in (("a.whl", zipped), ("a.tar.gz", tarred)):
        release = tmp_path / name
        release.write_bytes(pack({"x/plain": b"outer", "x/nested.zip": inner}))
        assert read_member(release, "x/plain") == b"outer"
        assert read_member(release, "x/nested.zip!deep/model") == b"inner"
    assert {path.name for path in tmp_path.iterdir()} == {"a.whl", "a.tar.gz"}


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz"])
def test_absent_member_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes((zipped if name == "a.whl" else tarred)({"x": b""}))
    with pytest.raises(WeightsCorrupt, match="cannot read y"):
        read_member(tmp_path / name, "y")


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz"])
@pytest.mark.parametrize("keep", [0, 10, 200])
def test_truncated_archive_is_refused(tmp_path: Path, name: str, keep: int) -> None:
    whole = (zipped if name == "a.whl" else tarred)({"x": bytes(range(256)) * 40})
    (tmp_path / name).write_bytes(whole[: min(keep, len(whole) - 20)])
    with pytest.raises(WeightsCorrupt):
        read_member(tmp_path / name, "x")


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz"])
def test_bombs_are_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.models.weights.readers.MAX_MEMBER_BYTES", 1000)
    (tmp_path / name).write_bytes((zipped if name == "a.whl" else tarred)({"x": bytes(1001)}))
    with pytest.raises(WeightsCorrupt, match="more than 1000 bytes"):
        read_member(tmp_path / name, "x")


def test_a_link_out_of_the_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as file:
        info = tarfile.TarInfo("x")
        info.type = tarfile.SYMTYPE
        info.linkname = str(tmp_path / "secret")
        file.addfile(info)
    (tmp_path / "a.tar.gz").write_bytes(stream.getvalue())
    with pytest.raises(WeightsCorrupt):
        read_member(tmp_path / "a.tar.gz", "x")
