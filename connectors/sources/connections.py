"""Connections over HTTP that can be ended from another thread than the one that waits for them."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from urllib3.connectionpool import HTTPConnectionPool


class EndableAdapter(HTTPAdapter):
    """Knows its sockets; closing it ends every wait for one of them.

    The time limits of requests are between two bytes: a server that sends one now and then, of
    a body or of a head, could keep a thread for as long as it likes.
    """

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._ended = False
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        """As the library does it, but the pool's connections tell of their sockets."""
        pool = super().get_connection_with_tls_context(*args, **options)
        plain: Any = pool.ConnectionCls
        if hasattr(plain, "told"):
            return pool
        tell = self._tell

        class Telling(plain):  # type: ignore[misc]
            told = True

            def connect(self) -> None:
                super().connect()
                tell(self.sock)

        pool.ConnectionCls = Telling
        return pool

    def close(self) -> None:
        """Ends all connections, idle or not, for good; may be called twice."""
        self._ended = True
        for one in list(self._sockets):
            _end(one)
        super().close()

    def _tell(self, made: socket.socket) -> None:
        self._sockets = {one for one in self._sockets if one.fileno() >= 0} | {made}
        if self._ended:
            _end(made)


def _end(one: socket.socket) -> None:
    # Not closed, which is for the thread that uses it; not as TLS, whose state is that thread's.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)
