"""Servers that misbehave: written here because no real one does it on purpose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.servers.process import HOST

Behaviour = Callable[[socket.socket], None]


class Misbehaving:
    """Accepts connections and lets a function do what it likes with each.

    Args:
        behave: Called on a thread for each connection; the connection is held until the end.
    """

    def __init__(self, behave: Behaviour = lambda _: None) -> None:
        self._behave = behave
        self._held: list[socket.socket] = []
        self._server = socket.create_server((HOST, 0))
        self.port = int(self._server.getsockname()[1])
        self.asked = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for connection in self._held:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.asked += 1
            self._held.append(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            self._behave(connection)
        except OSError:
            # The other side went, which is what is tested.
            return


def request(connection: socket.socket) -> bytes:
    """Reads the head of an HTTP or RTSP request."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(65536)
        if not data:
            break
        head += data
    return head
