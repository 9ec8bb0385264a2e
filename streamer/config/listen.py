"""Parse addresses to listen on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_FORM: Final = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)?:)?(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Listen:
    """Hold an address to listen on.

    Attributes:
        host: Name or number; loopback when none was given.
        port: 0 lets the system choose.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """Parse ``HOST:PORT``, ``:PORT`` or ``PORT``.

    Args:
        text: ``127.0.0.1:9464``, ``[::1]:9464``, ``0.0.0.0:9464`` (all interfaces), ``9464``.

    Raises:
        ValueError: It has another form.
    """
    found = _FORM.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise ValueError("must be HOST:PORT or a port on loopback, such as 127.0.0.1:9464")
    return Listen((found["host"] or LOOPBACK).strip("[]"), int(found["port"]))
