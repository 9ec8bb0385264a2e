"""The sink against a real server that accepts, stumbles, refuses or is not there."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import webhook_sink
from cloudevents.core.v1.event import CloudEvent
from webhook_sink import WebhookSink

from streamer.plugins import SinkContext

EVENT = CloudEvent(
    {
        "specversion": "1.0",
        "id": "1",
        "source": "/test",
        "type": "test",
        "time": datetime(2024, 1, 1, tzinfo=UTC),
        "datacontenttype": "application/json",
    },
    {"seconds": 1.5},
)


class Server(ThreadingHTTPServer):
    """Keeps what was posted, and answers with the next of its status codes, then with 204."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.codes: list[int] = []
        self.posted: list[tuple[str, str | None, bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, self.headers["X-Signature-256"], body))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 204)
        self.end_headers()

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def opened(port: int) -> WebhookSink:
    sink = WebhookSink(f"webhook://127.0.0.1:{port}/scenes", SinkContext())
    sink.open()
    sink.cloud_event = EVENT
    return sink


def test_an_event_is_posted_and_signed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", "key")
    sink = opened(server.server_port)
    sink.write(None)
    sink.close()
    ((path, signature, body),) = server.posted
    assert path == "/scenes"
    assert json.loads(body)["data"] == {"seconds": 1.5}
    assert signature == f"sha256={hmac.new(b'key', body, hashlib.sha256).hexdigest()}"


def test_a_server_that_stumbles_is_tried_again(server: Server) -> None:
    server.codes = [503, 429]
    sink = opened(server.server_port)
    sink.write(None)
    sink.close()
    assert len(server.posted) == 3
    assert {signature for _, signature, _ in server.posted} == {None}


def test_a_refusal_is_final(server: Server) -> None:
    server.codes = [403]
    sink = opened(server.server_port)
    with pytest.raises(RuntimeError, match="HTTP 403"):
        sink.write(None)
    sink.close()
    assert len(server.posted) == 1


def test_a_server_that_is_away_is_given_up_in_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sink, "RETRY_SECONDS", 0.5)
    sink = opened(server.server_port)
    server.codes = [500] * 100
    with pytest.raises(webhook_sink.Unavailable, match="HTTP 500"):
        sink.write(None)
    sink.close()


def test_an_abort_ends_the_retries(server: Server) -> None:
    sink = opened(server.server_port)
    server.codes = [500] * 100
    sink.context.abort.set()
    with pytest.raises(webhook_sink.Unavailable):
        sink.write(None)
    assert len(server.posted) == 1
    sink.close()
