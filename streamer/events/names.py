"""A stream's name when nobody gave one."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePath
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_LENGTH: Final = 200


def default_stream_name(location: str) -> str:
    """Derives a name that is safe in URLs, metrics and file names.

    A file gives its name without the ending, standard input ``stdin``, a URL its host and path;
    user names, passwords and queries of a URL never become part of the name, and of the stream
    keys in RTMP addresses only a checksum does. Letters lose their
    accents, runs of anything but letters, digits, ``.``, ``_`` and ``-`` become one ``-``.

    Args:
        location: A path, ``-`` or a URL.

    Returns:
        1 to 200 characters of ``[A-Za-z0-9._-]``.
    """
    if location == "-":
        return "stdin"
    if "://" in location:
        try:
            parts = urlsplit(location)
            raw = f"{parts.hostname or ''}{_public(parts)}"
        except ValueError:
            raw = ""
    else:
        raw = PurePath(location).stem
    plain = unicodedata.normalize("NFKD", raw).encode("ascii", "ignore").decode("ascii")
    # A name in a script without Latin letters would vanish; its code points keep it distinct.
    if not re.search(r"[A-Za-z0-9]", plain):
        plain = "-".join(f"{ord(letter):x}" for letter in raw if letter.isalnum())
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")
    return name[:MAX_LENGTH].rstrip("-.") or "stream"


def _public(parts: SplitResult) -> str:
    if not parts.scheme.startswith("rtmp"):
        return parts.path
    application, _, key = parts.path.lstrip("/").partition("/")
    # Two streams of one server need two names.
    return f"/{application}/{hashlib.sha256(key.encode()).hexdigest()[:8]}" if key else parts.path
