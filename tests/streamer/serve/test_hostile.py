"""What clients without a token do must not shut out health, the owner or the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from streamer.http import app, server
from streamer.http.health import Checks
from streamer.logs import LibraryLogs
from streamer.serve import routes
from tests.streamer.http.test_http import get
from tests.streamer.http.test_http import serving as bare
from tests.streamer.serve.test_service import TOKEN, Running, entry, serving
from tests.waiting import until

if TYPE_CHECKING:
    from streamer.pipeline.engine import Engine

CROWD = 300
WRONG = "Bearer never-to-be-seen"
MALFORMED = {
    "space before a colon": f"PUT / HTTP/1.1\r\nHost: x\r\nAuthorization : {WRONG}\r\n\r\n",
    "no version": f"GET /{WRONG}\r\n\r\n",
    "NUL in a header": f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {WRONG}\0\r\n\r\n",
    "NUL in the path": f"GET /\0{WRONG} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a huge header": f"GET / HTTP/1.1\r\nHost: x\r\nA: {WRONG * 2000}\r\n\r\n",
    "a huge address": f"GET /{'never-to-be-seen' * 2000} HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": "GET / HTTP/1.1\r\n" + f"A: {WRONG}\r\n" * 500 + "\r\n",
    "two lengths": "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a negative length": "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


def opened(running: Running, text: str | bytes = b"") -> socket.socket:
    made = socket.create_connection((running.at.host, running.at.port), timeout=30)
    with contextlib.suppress(ConnectionError):
        made.sendall(text.encode("latin-1") if isinstance(text, str) else text)
    return made


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            found += piece
    connection.close()
    return found


@contextlib.contextmanager
def crowd(running: Running, text: str | bytes = b"", many: int = CROWD) -> Iterator[None]:
    held = [opened(running, text) for _ in range(many)]
    try:
        yield
    finally:
        for each in held:
            each.close()


def counted(running: Running, reason: str) -> float:
    name = "streamer_http_refused_total"
    return running.metrics.registry.get_sample_value(name, {"reason": reason}) or 0.0


@pytest.fixture
def running(engine: Engine, tmp_path: Path) -> Iterator[Running]:
    with serving(engine, tmp_path / "state", []) as made:
        yield made


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests_are_counted_and_told_in_one_line_without_their_content(
    running: Running, text: str | bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    before = counted(running, "malformed")
    with LibraryLogs(said.append):
        for _ in range(10):
            assert answer(opened(running, text))[:12] in {b"HTTP/1.0 400", b"HTTP/1.1 400"}
    assert counted(running, "malformed") == before + 10
    assert len(said) == 2
    assert "malformed HTTP request refused" in said[0]
    assert said[1] == "malformed HTTP request refused: … (9 more)"
    assert "never" not in str(said)
    assert capfd.readouterr() == ("", "")


def test_a_malformed_or_broken_off_body_is_no_traceback(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    head = f"PUT /streams/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    said: list[str] = []
    with LibraryLogs(said.append):
        chunked = f"{head}Transfer-Encoding: chunked\r\n\r\nzz-never-to-be-seen\r\n"
        assert b" 400 " in answer(opened(running, chunked))
        coded = f"{head}Content-Encoding: gzip\r\nContent-Length: 16\r\n\r\nnever-to-be-seen"
        assert b" 400 " in answer(opened(running, coded))
        opened(running, f"{head}Content-Length: 1000\r\n\r\n{{").close()
        for _ in range(20):
            assert running.ask("GET", "/livez")[0] == 200
    assert "never" not in str(said)
    assert "failed" not in str(said)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"GET /livez HT",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 5,
        b"PUT /streams/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{",
        f"DELETE /streams/x HTTP/1.1\r\nHost: x\r\nAuthorization: {WRONG}\r\n\r\n".encode(),
    ],
    ids=["idle", "line", "headers", "kept alive", "unread", "body", "wrong token"],
)
def test_a_crowd_shuts_out_neither_health_nor_the_owner(running: Running, text: bytes) -> None:
    with crowd(running, text):
        for _ in range(3):
            for path in ("/livez", "/readyz"):
                began = time.monotonic()
                assert running.ask("GET", path, token=None)[0] == 200
                assert time.monotonic() - began < 10
        assert running.ask("DELETE", "/streams/x")[0] == 404
    assert counted(running, "crowded") + counted(running, "no_token") >= 1


def test_the_owner_is_not_closed_to_make_room(running: Running, film: Path, tmp_path: Path) -> None:
    body = json.dumps({"source": str(film), "sinks": [str(tmp_path / "out.jsonl")]})
    head = f"PUT /streams/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    owner = opened(running, f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n")
    # Its headers have been taken once a later request is answered.
    assert running.ask("GET", "/livez")[0] == 200
    with crowd(running):
        assert running.ask("GET", "/livez")[0] == 200
        owner.sendall(body.encode())
        assert answer(owner).startswith(b"HTTP/1.1 201")


def test_slow_headers_have_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.5)
    with bare() as at, socket.create_connection((at.host, at.port), timeout=30) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        slow.settimeout(0.05)
        closed = False
        while not closed and time.monotonic() - began < 20:
            with contextlib.suppress(TimeoutError):
                try:
                    slow.sendall(b"X-A: b\r\n")
                    closed = slow.recv(1) == b""
                except ConnectionError:
                    closed = True
        assert closed
        assert 0.3 < time.monotonic() - began < 5


def test_a_slow_body_has_a_deadline_with_and_without_the_token(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "BODY_SECONDS", 0.3)
    head = "PUT /streams/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    began = time.monotonic()
    owner = opened(running, f"{head}Authorization: Bearer {TOKEN}\r\n\r\n{{")
    assert b" 408 " in answer(owner)
    assert counted(running, "body_slow") == 1
    assert b" 401 " in answer(opened(running, f"{head}\r\n{{"))
    assert b" 405 " in answer(opened(running, f"{head.replace('streams/x', 'livez')}\r\n{{"))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("how", ["Content-Length: 99999999999", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/streams/x", "/nowhere", "/livez"])
def test_of_an_endless_body_little_is_read(running: Running, how: str, path: str) -> None:
    endless = opened(running, f"PUT {path} HTTP/1.1\r\nHost: x\r\n{how}\r\n\r\n")
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n" if "chunked" in how else b"x" * 0x10000
    sent, began = 0, time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 10:
            endless.sendall(piece)
            sent += len(piece)
    # What the system itself buffers on both sides is some megabytes.
    assert sent < 32 << 20
    assert time.monotonic() - began < 5
    assert answer(endless)[9:12] in {b"401", b"404", b"405", b""}


def test_who_sends_a_small_body_without_a_token_reads_why_it_was_refused(running: Running) -> None:
    for size in (0, 10, 60_000):
        status, said = running.ask("PUT", "/streams/x", b"x" * size, token=None)
        assert (status, said) == (401, {"error": "the token is missing or wrong"})
    assert running.ask("PUT", "/streams/x", b"x" * 70_000)[0] == 413
    assert counted(running, "body_size") == 1
    assert counted(running, "no_token") == 3


def test_pipelined_requests_are_answered_in_turn(running: Running) -> None:
    asked = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 99
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answer(opened(running, asked + last)).count(b'{"status": "alive"}') == 100


def test_the_oldest_form_of_requests_is_answered_and_closed(running: Running) -> None:
    assert b'{"status": "alive"}' in answer(opened(running, b"GET /livez\r\n\r\n"))


def test_wrong_tokens_are_counted_and_slowed_and_the_right_one_is_not(running: Running) -> None:
    began = time.monotonic()
    for _ in range(5):
        assert running.ask("DELETE", "/streams/x", token="wrong")[0] == 401
    alone = time.monotonic() - began
    assert 0.4 < alone < 5
    with ThreadPoolExecutor(100) as pool:
        wrong = [
            pool.submit(running.ask, "DELETE", "/streams/x", None, "wrong") for _ in range(100)
        ]
        until(lambda: counted(running, "wrong_token") >= 50, "wrong tokens")
        began = time.monotonic()
        assert running.ask("DELETE", "/streams/x")[0] == 404
        assert running.ask("GET", "/readyz")[0] == 200
        assert time.monotonic() - began < 1
        assert {each.result()[0] for each in wrong} == {401}
    assert counted(running, "wrong_token") == 105


def test_who_asks_at_once_gets_one_answer() -> None:
    asked, release = [], threading.Event()

    def slow() -> None:
        asked.append(1)
        release.wait(30)

    async def ask() -> list[bool]:
        checks = Checks()
        checks.add("slow", slow)
        asking = [asyncio.create_task(checks.ask()) for _ in range(8)]
        # Each begins its check, and waits, in its first turns.
        for _ in range(5):
            await asyncio.sleep(0)
        release.set()
        return [health.ready for health in await asyncio.gather(*asking)]

    assert asyncio.run(ask()) == [True] * 8
    assert asked == [1]


def test_what_a_client_does_not_read_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    body = b"x" * (32 << 20)

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=body)

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with bare(routes=[web.get("/large", large)]) as at, contextlib.ExitStack() as stack:
        before = descriptors()
        for number in range(1, 9):
            held = stack.enter_context(socket.create_connection((at.host, at.port), timeout=30))
            held.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            # Its answer has begun.
            assert held.recv(1) == b"H"
            assert descriptors() <= before + number + 4


def test_so_many_answers_of_metrics_only_are_made_at_a_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    making, release = threading.Semaphore(0), threading.Event()

    def encode(_: object) -> bytes:
        making.release()
        release.wait(30)
        return b""

    monkeypatch.setattr(app, "choose_encoder", lambda _: (encode, "text/plain"))
    with ThreadPoolExecutor(app.MAX_COLLECTING) as pool:
        made = [pool.submit(get, running.at, "/metrics") for _ in range(app.MAX_COLLECTING)]
        for _ in made:
            assert making.acquire(timeout=30)
        status, headers, _ = get(running.at, "/metrics")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert running.ask("GET", "/readyz")[0] == 200
        release.set()
        assert {each.result()[0] for each in made} == {200}
    assert counted(running, "busy") == 1


@pytest.mark.parametrize("name", [".", ".."])
def test_streams_are_not_called_what_no_address_reaches(
    running: Running, film: Path, tmp_path: Path, name: str
) -> None:
    body = {"source": str(film), "sinks": [str(tmp_path / "out.jsonl")]}
    for path in (name, name.replace(".", "%2E"), name.replace(".", "%2e")):
        assert running.ask("PUT", f"/streams/{path}", body)[0] in {400, 404, 405}
    assert running.ask("GET", "/streams")[1] == {"streams": []}
    with pytest.raises(ValueError, match="no address"):
        entry(name, film, tmp_path / "out.jsonl")
