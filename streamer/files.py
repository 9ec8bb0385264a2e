"""Write files whole or not at all, and name paths that no file can have."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

PRIVATE = 0o600
"""Mode of a file for its owner only."""


def unusable(path: Path | str) -> str | None:
    """Describe why no file can have a path, or return None.

    Args:
        path: As the user wrote it.
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
    """Replace a file atomically: no reader and no crash ever sees half of it.

    It is on the disk under its name on return. Several processes may write the same file: the
    content of one of them stays, complete.

    Args:
        path: The file; a missing folder is created, readable by those who may read the file.
        content: All of it.
        mode: Permissions of the file, independent of the umask.
        alone: No other process writes this file; a temporary file left by a crash is reused.

    Raises:
        OSError: The folder or the file cannot be written; an older file is then unchanged, unless
            syncing the folder failed.
    """
    # Readers of the file must be able to enter its folder.
    path.parent.mkdir(parents=True, exist_ok=True, mode=mode | (mode & 0o444) >> 2)
    if alone:
        temporary = path.with_name(f".{path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(temporary, flags, PRIVATE)
    else:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the names in it survive a power cut.

    Raises:
        OSError: The disk fails. A file system that cannot sync folders is not an error.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def put_aside(path: Path) -> Path:
    """Rename a damaged file to ``NAME.damaged``, ``NAME.damaged.2`` and so on.

    Returns:
        Its new name; the oldest of four is overwritten.

    Raises:
        OSError: It cannot be renamed.
    """
    names = [path.with_name(f"{path.name}.damaged{end}") for end in ("", ".2", ".3", ".4")]
    free = [name for name in names if not name.exists()]
    target = free[0] if free else min(names, key=lambda name: name.stat().st_mtime_ns)
    path.replace(target)
    os.utime(target)
    sync_folder(path.parent)
    return target
