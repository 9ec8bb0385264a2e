"""Connections over HTTP are given up when they should be, whoever holds on to them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sources.registry import open_source
from connectors.sources.source import ByteStream
from connectors.sources.web import Body
from streamer.config.sections import DecodeSection, SourceSection
from streamer.decode.decoder import Decoder
from streamer.errors import SourceDamaged
from tests.decoding import collect, film
from tests.media import Recipe, write_film
from tests.servers.silent import Misbehaving, request

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
LIMITS = SourceSection(open_seconds=5.0, stall_seconds=5.0)
SECONDS = 10.0


class Feed:
    """Sends a little, then waits for the other side to go, or for a word to go on."""

    def __init__(self) -> None:
        self.left, self.word = threading.Event(), threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        request(connection)
        connection.sendall(ANSWER + b"x" * 100)
        if self.word.wait(SECONDS):
            connection.sendall(b"y" * 100)
        connection.settimeout(SECONDS)
        try:
            gone = not connection.recv(1)
        except ConnectionResetError:
            # Who leaves with bytes unread is seen to leave like this.
            gone = True
        if gone:
            self.left.set()


def test_a_feed_that_is_closed_is_left_at_once() -> None:
    feed = Feed()
    feed.word.set()
    with Misbehaving(feed) as server:
        source = open_source(f"http://127.0.0.1:{server.port}/live", LIMITS)
        body = stream(source.open().target)
        assert body.read(10) == b"x" * 10
        source.close()
        assert feed.left.wait(SECONDS)


def test_closing_does_not_wait_for_a_read_under_way() -> None:
    feed = Feed()
    with Misbehaving(feed) as server:
        source = open_source(f"http://127.0.0.1:{server.port}/live", LIMITS)
        body = stream(source.open().target)
        assert body.read(100) == b"x" * 100
        reading = threading.Thread(target=body.read, args=(100,), daemon=True)
        reading.start()
        until(lambda: isinstance(body, Body) and body.reading)
        source.close()
        assert not feed.left.is_set()
        feed.word.set()
        reading.join(SECONDS)
        assert feed.left.wait(SECONDS)


def test_a_film_with_its_index_behind_needs_a_server_that_sends_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, film(25), Recipe(codec="libx264"))
    body = path.read_bytes()

    def send(connection: socket.socket) -> None:
        request(connection)
        head = f"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    with (
        Misbehaving(send) as server,
        Decoder(
            open_source(f"http://127.0.0.1:{server.port}/a.mp4", LIMITS), DecodeSection()
        ) as decoder,
        pytest.raises(SourceDamaged, match=r"moov.* the server .*byte ranges.*faststart"),
    ):
        collect(decoder)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stream(target: str | ByteStream) -> ByteStream:
    assert not isinstance(target, str)
    return target
