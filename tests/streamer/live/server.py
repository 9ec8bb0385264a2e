"""A real server on a real socket that behaves as badly as it is told."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
Act = Callable[[socket.socket], None]


def linger(connection: socket.socket) -> None:
    """Says nothing until the other end leaves."""
    connection.settimeout(60)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def close(_: socket.socket) -> None:
    """Leaves at once, without a word."""


def garbage(connection: socket.socket) -> None:
    """Answers with what is no media."""
    connection.sendall(ANSWER + random.Random(1).randbytes(60_000))


def play(path: Path, share: float = 1.0, then: Act = close) -> Act:
    """Sends part of a film."""

    def act(connection: socket.socket) -> None:
        data = path.read_bytes()
        connection.sendall(ANSWER + data[: int(len(data) * share) // 188 * 188])
        then(connection)

    return act


def refuse(status: str, page: bytes = b"") -> Act:
    """Answers with a page of its own, as relays do that have no publisher."""

    def act(connection: socket.socket) -> None:
        head = f"HTTP/1.0 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(page)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + page)

    return act


def film_of(path: Path, share: float = 1.0) -> Act:
    """Says how long a film is and sends part of it."""

    def act(connection: socket.socket) -> None:
        data = path.read_bytes()
        head = ANSWER.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(data))
        connection.sendall(head + data[: int(len(data) * share)])

    return act


class Server:
    """One act a connection; the last one is repeated.

    Args:
        acts: In order.
    """

    def __init__(self, acts: Sequence[Act]) -> None:
        self.acts = list(acts)
        self.served = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/live"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                act = self.acts[min(self.served, len(self.acts) - 1)]
                self.served += 1
                threading.Thread(target=self._serve, args=(connection, act), daemon=True).start()

    def _serve(self, connection: socket.socket, act: Act) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(60)
            connection.recv(65536)
            act(connection)

    def stop(self) -> None:
        """Takes no more connections."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def serving(*acts: Act) -> Iterator[Server]:
    """A server while the context lasts."""
    server = Server(acts)
    try:
        yield server
    finally:
        server.stop()
