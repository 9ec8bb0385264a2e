"""What native code frees goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from streamer import heap

GLIBC = os.uname().sysname == "Linux" and "CS_GNU_LIBC_VERSION" in os.confstr_names
pytestmark = pytest.mark.skipif(not GLIBC, reason="another C library")

# Blocks of a page and more with a small one behind each: the heap has no end to cut off.
HOLES = """
    import ctypes, os, sys, time
    from pathlib import Path
    from streamer.heap import keep_level

    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    if sys.argv[1] == "level":
        assert keep_level(0.05)
    before = resident()
    large = []
    for _ in range(4000):
        large.append(library.malloc(20_000))
        ctypes.memset(large[-1], 1, 20_000)
        library.malloc(64)
    full = resident()
    for block in large:
        library.free(block)
    deadline = time.monotonic() + float(sys.argv[2])
    while resident() - before > (full - before) / 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    print(f"{full - before:.0f} {resident() - before:.0f}")
"""

ARENAS = """
    import ctypes, threading
    from streamer.heap import keep_level

    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    keep_level()
    together = threading.Barrier(12)

    def work():
        library.malloc(1000)
        together.wait(20)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    library.fdopen.restype = ctypes.c_void_p
    library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
    library.fflush.argtypes = [ctypes.c_void_p]
    file = library.fdopen(1, b"w")
    library.malloc_info(0, file)
    library.fflush(file)
"""


def run(script: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", dedent(script), *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_holes_go_back_to_the_system() -> None:
    full, left = map(int, run(HOLES, "level", "20").split())
    assert full > 70
    assert left < full / 2


def test_without_it_holes_stay() -> None:
    full, left = map(int, run(HOLES, "as it is", "0.5").split())
    assert left > 0.9 * full


def test_threads_share_one_arena() -> None:
    assert run(ARENAS).count("<heap nr=") == 1


def test_what_the_environment_says_stands() -> None:
    assert run(ARENAS, MALLOC_ARENA_MAX="5").count("<heap nr=") == 5
    assert run(ARENAS, GLIBC_TUNABLES="glibc.malloc.arena_max=5").count("<heap nr=") == 5


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise ValueError(name)

    monkeypatch.setattr(os, "confstr", unknown)
    assert heap.keep_level() is False
