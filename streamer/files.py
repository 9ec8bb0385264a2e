"""Files that are there whole or not at all, and paths that no file can have."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

PRIVATE = 0o600
"""Mode of a file for its owner only."""


def unusable(path: Path | str) -> str | None:
    """Say why no file can ever have a path; None when one could.

    Args:
        path: As somebody wrote it.
    """
    text = str(path)
    if "\0" in text:
        return "holds a NUL character"
    try:
        os.lstat(text)
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.ELOOP}:
            return f"no file can be called so: {error.strerror}"
    return None


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, alone: bool = False) -> None:
    """Replaces a file so that no reader and no crash ever sees half of it.

    It is on the disk under its name when this returns. Several processes may write the same file:
    one of their contents stays, whole.

    Args:
        path: Where to; its folder is made when missing, open to those who may read the file.
        content: All of it.
        mode: Permissions of the file, whatever the process's mask is.
        alone: Nobody else writes this file; what a crash leaves beside it, the next write takes.

    Raises:
        OSError: The folder or the file cannot be written; an older file is then unchanged, unless
            it was the disk that failed last.
    """
    # Whoever may read the file may enter its folder.
    path.parent.mkdir(parents=True, exist_ok=True, mode=mode | (mode & 0o444) >> 2)
    if alone:
        beside = path.with_name(f".{path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(beside, flags, PRIVATE)
    else:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
