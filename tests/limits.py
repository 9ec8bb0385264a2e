"""A limit on memory, so that a file that asks for too much fails at once."""

from __future__ import annotations

import re
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def memory_limit(mebibytes: int) -> Iterator[None]:
    """Within it this process gets so much more memory and no more: asking for it raises.

    Args:
        mebibytes: On top of what is in use.
    """
    found = re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = int(found[1]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + (mebibytes << 20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
