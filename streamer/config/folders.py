"""Where the program keeps what has to outlast it, and what files there are called."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path


def state_home(what: str) -> Path:
    """The folder for one kind of state when the settings name none.

    Args:
        what: Its name, e.g. ``spool``.

    Returns:
        ``$STREAMER_HOME/what``, else ``streamer/what`` in ``$XDG_STATE_HOME`` or
        ``~/.local/state``.
    """
    if home := os.environ.get("STREAMER_HOME"):
        return Path(home) / what
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "streamer" / what


def safe_file_name(stream: str, *, distinct: str | None = None) -> str:
    """A file name in which people recognise a stream, and that no other stream has.

    Args:
        stream: The stream's name; any text.
        distinct: What tells files apart where that is more than the name.

    Returns:
        At most 77 characters of ``[A-Za-z0-9._-]``.
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", stream)[:60].strip("-.")
    return f"{readable or 'stream'}-{fingerprint(distinct or stream)[:16]}"


def fingerprint(text: str) -> str:
    """SHA-256 in hex: tells two apart without saying what they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
