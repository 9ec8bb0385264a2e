"""Addresses as users type them, and what of them may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from streamer.errors import SourceUnsupported

SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in parts.

    Attributes:
        scheme: Lower case.
        url: As typed.
        plain: The same without user name and password.
        shown: For people: also without query and fragment, which may hold tokens, and without
            what follows the application in an RTMP path, which is its stream key.
        login: User name and password, decoded; None without a user name.
    """

    scheme: str
    url: str
    plain: str
    shown: str
    login: tuple[str, str] | None

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def is_address(location: str) -> bool:
    """Whether a location is a URL and not a path.

    Args:
        location: What a user typed.
    """
    return SCHEME.match(location) is not None


def parse(location: str) -> Address:
    """Takes a URL apart.

    Args:
        location: With a scheme.

    Raises:
        SourceUnsupported: It is not a URL; the message does not repeat it.
    """
    try:
        parts = urlsplit(location)
        # Both may raise only when asked for.
        host, port = parts.hostname or "", parts.port
        login = None
        if parts.username is not None:
            login = unquote(parts.username), unquote(parts.password or "")
    except ValueError as error:
        raise SourceUnsupported(f"the address is not a URL ({_safe(error)})") from None
    where = f"[{host}]" if ":" in host else host
    if port is not None:
        where = f"{where}:{port}"
    # An empty user name is how multicast groups are written: udp://@239.0.0.1:5000.
    group = "@" if parts.netloc.startswith("@") else ""
    plain = urlunsplit(parts._replace(netloc=group + where))
    path = parts.path
    if parts.scheme.startswith("rtmp"):
        application = path.split("/")[1] if path.startswith("/") else ""
        path = f"/{application}/…"
    shown = urlunsplit(SplitResult(parts.scheme, group + where, path, "", ""))
    return Address(parts.scheme, location, plain, shown, login if login != ("", "") else None)


def redact(location: str) -> str:
    """What may be shown of a location.

    Args:
        location: A path, ``-`` or a URL.
    """
    if not is_address(location):
        return location
    try:
        return parse(location).shown
    except SourceUnsupported:
        return f"{location.partition('://')[0]}://…"


def _safe(error: ValueError) -> str:
    # urllib's own words may quote the netloc.
    return "its port or host is malformed" if "'" in str(error) else str(error)
