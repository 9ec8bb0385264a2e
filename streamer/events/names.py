"""Derive a stream's name from its location."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import PurePath
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_LENGTH: Final = 200
_DIGEST: Final = 6


def default_stream_name(location: str) -> str:
    """Derive a name from a location; the names of two films in a folder differ.

    A file gives its name without the ending, standard input ``stdin``, a URL its host and path;
    user names, passwords and queries of a URL never become part of the name, and of the stream
    keys in RTMP addresses only a digest does. Letters and digits of every script, ``.``, ``_`` and
    ``-`` are kept; a run of anything else becomes one ``-``. Where that, or the length, could make
    two names equal, a digest of the whole name is added.

    Args:
        location: A path, ``-`` or a URL.

    Returns:
        1 to 200 letters, digits, ``.``, ``_`` and ``-``, in Unicode's composed form.
    """
    if location == "-":
        return "stdin"
    if "://" in location:
        try:
            parts = urlsplit(location)
            # A slash in an address is where one name ends and the next begins.
            whole = f"{parts.hostname or ''}{_public(parts)}".strip("/").replace("/", "-")
        except ValueError:
            whole = ""
    else:
        whole = PurePath(location).stem
    whole = unicodedata.normalize("NFC", whole)
    words = "".join(letter if _is_kept(letter) else " " for letter in whole).split()
    name = "-".join(words).strip("-.")
    if name == whole and len(name) <= MAX_LENGTH:
        return name or "stream"
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    if not name:
        return f"stream-{digest}" if whole.strip("-. ") else "stream"
    return f"{name[: MAX_LENGTH - _DIGEST - 1].rstrip('-.')}-{digest}"


def _is_kept(letter: str) -> bool:
    return letter in "._-" or unicodedata.category(letter)[0] in "LNM"


def _public(parts: SplitResult) -> str:
    if not parts.scheme.startswith("rtmp"):
        return parts.path
    application, _, key = parts.path.lstrip("/").partition("/")
    # Two streams of one server need two names.
    return f"/{application}/{hashlib.sha256(key.encode()).hexdigest()[:8]}" if key else parts.path
