"""Real requests over a real socket."""

from __future__ import annotations

import asyncio
import gc
import gzip
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest
import torch
from aiohttp import web

from streamer.config.listen import Listen, parse_listen
from streamer.errors import HttpError
from streamer.http import health, server
from streamer.http.app import make_app
from streamer.http.health import Checks
from streamer.http.server import HttpServer
from streamer.metrics.metrics import Metrics

Answer = tuple[int, dict[str, str], bytes]


def get(at: Listen, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(at.host, at.port, timeout=10)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=sent)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@contextmanager
def serving(
    metrics: Metrics | None = None,
    checks: Checks | None = None,
    routes: Iterable[web.RouteDef] = (),
) -> Iterator[Listen]:
    metrics, checks = metrics or Metrics(), checks or Checks()
    server = HttpServer(lambda: make_app(metrics, checks, routes), Listen("127.0.0.1", 0))
    try:
        yield server.start()
    finally:
        server.stop()


def test_metrics_in_the_form_that_the_client_accepts() -> None:
    metrics = Metrics()
    metrics.stream("a").shot()
    with serving(metrics) as at:
        status, headers, body = get(at, "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=")
        assert b'streamer_shots_total{stream="a"} 1.0' in body
        assert headers["Cache-Control"] == "no-store"
        accept = "application/openmetrics-text; version=1.0.0"
        status, headers, body = get(at, "/metrics", Accept=accept)
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        _, headers, body = get(at, "/metrics", Accept_Encoding="gzip")
        assert headers["Content-Encoding"] == "gzip"
        assert b"streamer_shots_total" in gzip.decompress(body)


def test_some_metrics_may_be_asked_for_alone() -> None:
    metrics = Metrics()
    metrics.stream("a").shot()
    with serving(metrics) as at:
        asked = "/metrics?name[]=streamer_shots_total&name[]=process_cpu_seconds_total"
        status, _, body = get(at, asked)
        names = {line.split("{")[0].split()[0] for line in body.decode().splitlines()} - {"#"}
        assert names >= {"streamer_shots_total", "process_cpu_seconds_total"}
        assert "streamer_boundaries_total" not in names
        assert status == 200
        assert get(at, "/metrics?name[]=nothing")[::2] == (200, b"")


def test_a_client_that_asks_for_what_there_is_not_gets_text() -> None:
    with serving() as at:
        openmetrics = "application/openmetrics-text; version="
        odd = [f"{openmetrics}{version}" for version in ("99", "abc", "1.x", "-1", "")]
        for accept in ("image/png", "*/*", ";;;,", "text/plain; version=abc", *odd):
            status, headers, body = get(at, "/metrics", Accept=accept)
            assert status == 200
            assert b"streamer_build_info" in body
            assert headers["Content-Type"].partition(";")[0] in {
                "text/plain",
                "application/openmetrics-text",
            }


def test_readiness_names_what_is_amiss() -> None:
    checks, reason = Checks(), ["no broker answers"]
    checks.add("model", lambda: None)
    checks.add("broker", lambda: reason[0] if reason else None)
    checks.add("disk", lambda: str(1 // 0))
    with serving(checks=checks) as at:
        assert get(at, "/livez")[0] == 200
        status, _, body = get(at, "/readyz")
        assert status == 503
        said = json.loads(body)
        assert said["checks"]["model"] == {"ok": True}
        assert said["checks"]["broker"] == {"ok": False, "reason": "no broker answers"}
        assert said["checks"]["disk"]["reason"] == "the check failed: ZeroDivisionError"
        reason.clear()
        checks.remove("disk")
        status, _, body = get(at, "/readyz")
        assert (status, json.loads(body)["status"]) == (200, "ready")


def test_a_check_that_hangs_neither_blocks_others_nor_piles_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.2)
    release = threading.Event()
    asked = []

    def hangs() -> None:
        asked.append(1)
        release.wait(30)

    checks = Checks()
    checks.add("broker", hangs)
    with serving(checks=checks) as at:
        try:
            for _ in range(3):
                status, _, body = get(at, "/readyz")
                assert status == 503
                assert "answer" in json.loads(body)["checks"]["broker"]["reason"]
                assert get(at, "/livez")[0] == 200
            assert len(asked) == 1
        finally:
            release.set()
        for _ in range(100):
            if get(at, "/readyz")[0] == 200:
                break
        else:
            pytest.fail("the check is not asked again after it answered")


def test_other_paths_and_methods_are_refused() -> None:
    with serving() as at:
        assert get(at, "/")[0] == 404
        assert get(at, "/metrics/../../etc/passwd")[0] == 404
        assert get(at, "/metrics", "POST")[0] == 405
        assert get(at, "/livez", "HEAD")[0] == 200
        _, headers, _ = get(at, "/nowhere")
        assert "Python" not in headers["Server"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_connection_made_while_it_stops_is_closed_too() -> None:
    # What stays open is told as a warning when it is collected, and warnings are errors here.
    for _ in range(15):
        server = HttpServer(lambda: make_app(Metrics(), Checks()), Listen("127.0.0.1", 0))
        at = server.start()
        with socket.create_connection((at.host, at.port)):
            server.stop()
    gc.collect()


def test_others_add_routes() -> None:
    async def streams(_: web.Request) -> web.Response:
        return web.json_response(["a"])

    with serving(routes=[web.get("/streams", streams)]) as at:
        assert json.loads(get(at, "/streams")[2]) == ["a"]


def test_it_answers_while_the_starting_thread_runs_a_loop_of_its_own() -> None:
    async def work() -> Answer:
        with serving() as at:
            return await asyncio.to_thread(get, at, "/livez")

    assert asyncio.run(work())[0] == 200


def test_it_answers_while_networks_and_loops_keep_the_process_busy() -> None:
    stop = threading.Event()

    def compute() -> None:
        matrix = torch.randn(400, 400)
        while not stop.is_set():
            matrix = torch.tanh(matrix @ matrix)

    def count() -> None:
        number = 0
        while not stop.is_set():
            number += 1

    busy = [threading.Thread(target=work, daemon=True) for work in (compute, compute, count)]
    with serving() as at:
        for each in busy:
            each.start()
        try:
            for _ in range(10):
                assert get(at, "/livez")[0] == 200
                assert get(at, "/metrics")[0] == 200
        finally:
            stop.set()
            for each in busy:
                each.join(30)


def test_an_address_that_is_taken_is_an_error_of_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = HttpServer(lambda: make_app(Metrics(), Checks()), Listen("127.0.0.1", port))
        with pytest.raises(HttpError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            server.start()
        assert "\n" not in str(caught.value)
        server.stop()
    with pytest.raises(HttpError, match="cannot listen"):
        HttpServer(lambda: make_app(Metrics(), Checks()), Listen("no.such.host.invalid", 1)).start()


def test_it_stops_at_once_also_with_idle_connections_and_can_be_stopped_twice() -> None:
    server = HttpServer(lambda: make_app(Metrics(), Checks()), Listen("127.0.0.1", 0))
    at = server.start()
    with socket.create_connection((at.host, at.port)) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        server.stop()
    server.stop()
    assert "http" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionError):
        get(at, "/livez")


SCARCE = """
import resource, sys
from streamer.config.listen import Listen
from streamer.http.app import make_app
from streamer.http.health import Checks
from streamer.http.server import HttpServer
from streamer.logs import LibraryLogs, ProcessLog
from streamer.metrics.metrics import Metrics

log = ProcessLog("test")
server = HttpServer(lambda: make_app(Metrics(), Checks()), Listen("127.0.0.1", 0))
with LibraryLogs(log.warning), server:
    print(server.at.port, flush=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    sys.stdin.read()
"""


def test_without_descriptors_it_complains_once_and_comes_back() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SCARCE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        at = Listen("127.0.0.1", int(child.stdout.readline()))
        crowd = [socket.create_connection((at.host, at.port)) for _ in range(80)]
        said = [child.stderr.readline()]
        for each in crowd:
            each.close()
        assert get(at, "/livez")[0] == 200
        child.stdin.close()
        said += child.stderr.readlines()
        assert child.wait(30) == 0
    assert len([line for line in said if "out of system resource" in line]) == 1
    assert len(said) <= 2


def test_of_too_many_connections_the_oldest_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    with serving() as at:
        held = [http.client.HTTPConnection(at.host, at.port, timeout=10) for _ in range(3)]
        for each in held:
            each.request("GET", "/livez")
            assert each.getresponse().read()
        assert get(at, "/livez")[0] == 200
        oldest, *others = held
        for each in others:
            each.request("GET", "/livez")
            assert each.getresponse().read()
        assert oldest.sock is not None
        with suppress(ConnectionResetError):
            assert oldest.sock.recv(1) == b""
        for each in held:
            each.close()


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:9464", Listen("127.0.0.1", 9464)),
        (":9464", Listen("127.0.0.1", 9464)),
        ("9464", Listen("127.0.0.1", 9464)),
        ("[::1]:0", Listen("::1", 0)),
        ("0.0.0.0:80", Listen("0.0.0.0", 80)),
        ("localhost:80", Listen("localhost", 80)),
    ],
)
def test_addresses_without_a_host_are_loopback(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen
    assert parse_listen(str(listen)) == listen


@pytest.mark.parametrize("text", ["", "host", "host:", "a:b", "1:99999", "::1:80", "http://x:1"])
def test_odd_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_listen(text)
