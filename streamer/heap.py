"""Keeps the C library from holding on to the memory that native code has freed."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any, Final

TRIM_SECONDS: Final = 30.0
_ARENAS: Final = 1
_THREAD: Final = "heap"
# As in malloc.h.
_M_ARENA_MAX: Final = -8


def keep_level(every: float = TRIM_SECONDS) -> bool:
    """Keeps resident memory near what is in use, in commands that run for days.

    Decoders come and go with every connection, and what they free leaves holes that the next
    ones do not fit into. With glibc, all threads share one arena instead of eight a core, and
    holes go back to the system from time to time. To be called before other threads begin; what
    the environment says about arenas stands.

    Args:
        every: Seconds from one time to the next.

    Returns:
        Whether there is something to do: False where the C library is not glibc.
    """
    if not _glibc():
        return False
    library = ctypes.CDLL(None)
    told = "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.environ.get("GLIBC_TUNABLES", "")
    if not told:
        library.mallopt(_M_ARENA_MAX, _ARENAS)
    if not any(thread.name == _THREAD for thread in threading.enumerate()):
        threading.Thread(target=_trim, args=(library, every), name=_THREAD, daemon=True).start()
    return True


def _glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError):
        return False


def _trim(library: Any, every: float) -> None:
    never = threading.Event()
    while not never.wait(every):
        library.malloc_trim(0)
