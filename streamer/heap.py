"""Make the C library return the memory that native code has freed."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any, Final

TRIM_SECONDS: Final = 30.0
_ARENAS: Final = 1
_THREAD: Final = "heap"
# From malloc.h.
_M_ARENA_MAX: Final = -8


def keep_level(every: float = TRIM_SECONDS) -> bool:
    """Keep resident memory near what is in use, in commands that run for days.

    Every connection creates decoders, and what they free fragments the heap. With glibc, all
    threads then share one arena instead of eight a core, and free memory is returned to the
    system periodically. Call it before other threads start; settings of arenas in the environment
    take precedence.

    Args:
        every: Seconds between two trims.

    Returns:
        False where the C library is not glibc, and nothing was done.
    """
    if not _glibc():
        return False
    library = ctypes.CDLL(None)
    is_set = "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.environ.get("GLIBC_TUNABLES", "")
    if not is_set:
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
