"""The folder of the streams' states, for one process at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streamer.config.folders import state_home
from streamer.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamer.config.sections import ServeSection


@contextmanager
def state_folder(settings: ServeSection) -> Iterator[Path]:
    """Makes and locks the folder while the context lasts.

    Two processes that went on from the same states would send everything twice. The lock ends
    with the process, however it ends.

    Raises:
        StateError: It cannot be used, or another process uses it.
    """
    folder = settings.state or state_home("streams")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{folder}: cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(f"{folder}: another streamer serve uses it") from error
        yield folder
    finally:
        os.close(descriptor)
