"""Connections over HTTP are given up when they should be, whoever holds on to them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources.address import parse
from streamer.connectors.sources.hls import Fetcher
from streamer.connectors.sources.registry import open_source
from streamer.connectors.sources.source import ByteStream
from streamer.connectors.sources.web import Body, Client
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import SourceClosed, SourceDamaged, SourceForbidden, SourceStalled
from tests.decoding import collect, film
from tests.media import Recipe, write_film
from tests.servers.authority import Authority
from tests.servers.silent import Misbehaving, request
from tests.waiting import until

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


def test_closing_ends_a_read_under_way() -> None:
    feed = Feed()
    with Misbehaving(feed) as server:
        source = open_source(f"http://127.0.0.1:{server.port}/live", LIMITS)
        body = stream(source.open().target)
        assert body.read(100) == b"x" * 100
        got: list[bytes] = []
        reading = threading.Thread(target=lambda: got.append(body.read(100)), daemon=True)
        reading.start()
        until(lambda: isinstance(body, Body) and body.reading, "a read under way")
        began = time.monotonic()
        source.close()
        reading.join(SECONDS)
        assert time.monotonic() - began < 1.0
        assert got == [b""]
        feed.word.set()
        assert feed.left.wait(SECONDS)


class Slow:
    """Answers with a body that comes a byte at a time, over TLS where there is an authority."""

    def __init__(self, authority: Authority | None = None) -> None:
        self._authority = authority
        self.left = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        if self._authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._authority.certificate, self._authority.key)
            connection = context.wrap_socket(connection, server_side=True)
        request(connection)
        try:
            connection.sendall(ANSWER)
            while True:
                connection.sendall(b"#")
                time.sleep(0.05)
        finally:
            connection.close()
            self.left.set()


def test_closing_ends_a_connection_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    slow = Slow(authority)
    limits = LIMITS.model_copy(update={"ca_file": authority.file})
    with Misbehaving(slow) as server:
        source = open_source(f"https://127.0.0.1:{server.port}/live", limits)
        body = stream(source.open().target)
        got: list[bytes] = []
        reading = threading.Thread(target=lambda: got.extend(iter(lambda: body.read(9), b"")))
        reading.start()
        until(lambda: len(got) > 2, "some of the body")
        source.close()
        reading.join(SECONDS)
        assert not reading.is_alive()
        assert slow.left.wait(SECONDS)


def fetcher(port: int, seconds: float, stopped: Callable[[], bool]) -> Fetcher:
    address = parse(f"http://127.0.0.1:{port}/a")
    return Fetcher(Client(address, stopped, open_seconds=SECONDS, stall_seconds=seconds))


def test_a_playlist_has_to_be_there_in_time() -> None:
    with Misbehaving(Slow()) as server:
        began = time.monotonic()
        with pytest.raises(SourceStalled, match="takes longer"):
            fetcher(server.port, 0.3, lambda: False).read_text(f"http://127.0.0.1:{server.port}/a")
    assert 0.3 <= time.monotonic() - began < 2.0


def test_a_playlist_is_not_read_on_once_stopped() -> None:
    stopped = threading.Event()
    slow = Slow()
    with Misbehaving(slow) as server:
        reading = fetcher(server.port, SECONDS, stopped.is_set)

        def stop() -> None:
            until(lambda: server.asked > 0, "a request")
            stopped.set()

        threading.Thread(target=stop).start()
        with pytest.raises(SourceStalled, match="stopped"):
            reading.read_text(f"http://127.0.0.1:{server.port}/a")
        assert slow.left.wait(SECONDS)


WHOLE = bytes(range(256)) * 40
TAGS = {"ETag": '"a"', "Last-Modified": "Sun, 01 Mar 2026 20:00:00 GMT"}


def part(first: int, total: int = len(WHOLE), more: dict[str, str] | None = None) -> dict[str, str]:
    return {"Content-Range": f"bytes {first}-{len(WHOLE) - 1}/{total}", **TAGS, **(more or {})}


class Halves:
    """Breaks off in the middle of a film; what it answers then is up to a test."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self._answers = [(206, part(0)), (status, headers)]
        self.asked: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        head = request(connection)
        status, headers = self._answers[len(self.asked)]
        self.asked.append(head)
        first = int(head.partition(b"bytes=")[2].partition(b"-")[0]) if status == 206 else 0
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        length = len(WHOLE) - first
        top = f"HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n{lines}\r\n"
        half = len(self.asked) == 1
        connection.sendall(top.encode() + WHOLE[first : len(WHOLE) // 2 if half else None])
        connection.shutdown(socket.SHUT_RDWR)


HALF = len(WHOLE) // 2


def read_whole(server: Misbehaving) -> bytes:
    source = open_source(f"http://127.0.0.1:{server.port}/film.ts", LIMITS)
    body = stream(source.open().target)
    got = b""
    while data := body.read(1000):
        got += data
    source.close()
    return got


@pytest.mark.parametrize(
    "headers",
    [
        part(HALF),
        part(HALF, more={"Last-Modified": ""}),
        {"Content-Range": part(HALF)["Content-Range"]},
    ],
    ids=["all said again", "only the tag", "nothing"],
)
def test_a_body_that_breaks_off_goes_on_with_the_same_one(headers: dict[str, str]) -> None:
    halves = Halves(206, headers)
    with Misbehaving(halves) as server:
        assert read_whole(server) == WHOLE
    assert f"Range: bytes={HALF}-".encode() in halves.asked[1]
    assert b'If-Range: "a"' in halves.asked[1]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, TAGS),
        (206, TAGS),
        (206, part(0)),
        (206, part(HALF + 1)),
        (206, part(HALF, len(WHOLE) + 1)),
        (206, part(HALF, more={"ETag": '"b"'})),
        (206, part(HALF, more={"Last-Modified": "Sun, 01 Mar 2026 20:00:01 GMT"})),
    ],
    ids=["whole", "no range", "start", "elsewhere", "length", "tag", "date"],
)
def test_a_body_that_breaks_off_never_goes_on_with_another(
    status: int, headers: dict[str, str]
) -> None:
    with Misbehaving(Halves(status, headers)) as server, pytest.raises(SourceClosed):
        read_whole(server)


def test_a_body_is_read_where_the_reader_goes() -> None:
    halves = Halves(206, part(HALF))
    with Misbehaving(halves) as server:
        source = open_source(f"http://127.0.0.1:{server.port}/film.ts", LIMITS)
        body = source.open().target
        assert isinstance(body, Body)
        assert body.seekable()
        assert body.seek(0, 2) == len(WHOLE)
        assert body.read(10) == b""
        assert body.seek(-HALF, 1) == body.tell() == HALF
        assert len(halves.asked) == 1
        assert body.read(10) == WHOLE[HALF : HALF + 10]
        source.close()


def test_who_sends_another_part_at_first_is_refused() -> None:
    def behave(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(
            b"HTTP/1.1 206 OK\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n12345"
        )

    with Misbehaving(behave) as server:
        source = open_source(f"http://127.0.0.1:{server.port}/film.ts", LIMITS)
        with pytest.raises(SourceForbidden):
            source.open()
        source.close()


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
            open_source(f"http://127.0.0.1:{server.port}/a.mp4", LIMITS), DecodeOptions()
        ) as decoder,
        pytest.raises(SourceDamaged, match=r"moov.* the server .*byte ranges.*faststart"),
    ):
        collect(decoder)


def stream(target: str | ByteStream) -> ByteStream:
    assert not isinstance(target, str)
    return target
