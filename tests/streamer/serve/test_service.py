"""Many streams in one process: added, changed, removed, and none in another's way."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from streamer.aspects.batching import BatchPolicy, SharedExtractors
from streamer.config.listen import Listen
from streamer.config.sections import (
    OutputSection,
    ReconnectSection,
    SegmentSection,
    ServeSection,
)
from streamer.config.settings import Settings
from streamer.config.streams import StreamEntry, load_streams
from streamer.errors import ConfigError, StateError
from streamer.http.app import make_app
from streamer.http.health import Checks
from streamer.http.server import HttpServer
from streamer.metrics.metrics import Metrics
from streamer.serve.host import ServeContext
from streamer.serve.roster import state_folder
from streamer.serve.routes import Routes
from streamer.serve.service import Service
from streamer.serve.status import watch
from tests.streamer.live.server import linger, play
from tests.streamer.live.server import serving as feed_server
from tests.waiting import until

if TYPE_CHECKING:
    from streamer.pipeline.engine import Engine

TOKEN = "correct-horse-battery"
SETTINGS = Settings(
    output=OutputSection(emit=("boundaries", "shots", "scenes")),
    segment=SegmentSection(threshold=0.0),
    reconnect=ReconnectSection(first_wait_seconds=0.05, max_wait_seconds=0.1),
    serve=ServeSection(max_streams=4),
)


@dataclass
class Running:
    service: Service
    metrics: Metrics
    at: Listen
    said: list[tuple[str, str]]

    def ask(
        self, method: str, path: str, body: object = None, token: str | None = TOKEN
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.at.host, self.at.port, timeout=30)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        sent = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        try:
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def wait(self, name: str, *states: str) -> dict[str, Any]:
        shown: dict[str, Any] = {}

        def there() -> bool:
            nonlocal shown
            _, shown = self.ask("GET", f"/streams/{name}")
            return shown.get("state") in states

        until(there, lambda: f"{name} is {shown}")
        return shown


@contextmanager
def serving(
    engine: Engine,
    folder: Path,
    entries: list[StreamEntry],
    token: str | None = TOKEN,
    fresh: float = 30.0,
    settings: Settings = SETTINGS,
) -> Iterator[Running]:
    metrics, said, checks = Metrics(), [], Checks()
    context = ServeContext(settings, metrics, folder, lambda name, line: said.append((name, line)))
    with SharedExtractors(engine.extractors, BatchPolicy(8, 0.0), at_once=2) as shared:
        service = Service(engine, shared, context)
        routes = Routes(service, None if token is None else SecretStr(token), metrics.refused)
        watch(checks, service, fresh)
        server = HttpServer(
            lambda: make_app(metrics, checks, routes.table()), Listen("127.0.0.1", 0)
        )
        with server:
            service.start(entries)
            try:
                yield Running(service, metrics, server.at, said)
            finally:
                assert service.stop() == ()


def entry(name: str, source: object, sink: Path, **more: Any) -> StreamEntry:
    return StreamEntry(name=name, source=SecretStr(str(source)), sinks=(str(sink),), **more)


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_streams_run_side_by_side_and_one_failure_stays_alone(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film at all" * 100)
    missing = tmp_path / "not-yet.ts"
    entries = [
        entry("one", film, tmp_path / "one.jsonl"),
        entry("two", film, tmp_path / "two.jsonl", threshold=1.0),
        entry("bad", broken, tmp_path / "bad.jsonl"),
        entry("late", missing, tmp_path / "late.jsonl"),
    ]
    with serving(engine, tmp_path / "state", entries) as running:
        assert running.wait("one", "ended")["shots"] == 12
        assert running.wait("two", "ended")["boundaries"] == 0
        bad = running.wait("bad", "failed")
        assert bad["last_error"]["kind"] == "NotMedia"
        late = running.wait("late", "reconnecting")
        assert "no such file" in late["last_error"]["message"]
        missing.write_bytes(film.read_bytes())
        assert running.wait("late", "ended")["shots"] == 12
        status, everything = running.ask("GET", "/streams", token=None)
        assert status == 200
        assert [one["name"] for one in everything["streams"]] == ["bad", "late", "one", "two"]
    ids = [event["id"] for event in events(tmp_path / "one.jsonl")]
    assert len(ids) == len(set(ids)) == 12 + 11 + 12
    assert len(events(tmp_path / "two.jsonl")) == 12 + 1


def test_one_dead_stream_is_told_and_only_when_none_moves_is_the_process_not_ready(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    dead = entry("dead", tmp_path / "not-there.ts", tmp_path / "dead.jsonl")
    alive = entry("alive", film, tmp_path / "alive.jsonl", realtime=True)
    with serving(engine, tmp_path / "state", [], fresh=1.0) as running:
        assert running.ask("GET", "/readyz") == (
            200,
            {"status": "ready", "checks": {"streams": {"ok": True}}},
        )
        running.service.put(dead)
        assert running.ask("GET", "/readyz")[0] == 200
        until(lambda: running.ask("GET", "/readyz")[0] == 503, lambda: "it is ready")
        shown = running.ask("GET", "/readyz")[1]["checks"]["streams"]
        assert (shown["ok"], shown["reason"]) == (False, "no progress")
        assert "no such file" in shown["parts"]["dead"]
        running.service.put(alive)
        until(lambda: running.ask("GET", "/readyz")[0] == 200, lambda: "it is not ready")
        shown = running.ask("GET", "/readyz")[1]["checks"]["streams"]
        assert (shown["ok"], list(shown["parts"])) == (True, ["dead"])
        # Once the film is over nothing moves that should.
        running.wait("alive", "ended")
        assert running.ask("GET", "/readyz")[0] == 503


def test_an_ended_stream_is_not_run_again_and_a_deleted_one_is_forgotten(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    state, out = tmp_path / "state", tmp_path / "one.jsonl"
    with serving(engine, state, [entry("one", film, out)]) as running:
        ended = running.wait("one", "ended")
        assert ended["position_seconds"] > 0
    before = out.read_bytes()
    with serving(engine, state, [entry("one", film, out)]) as running:
        again = running.wait("one", "ended")
        assert again["shots"] == 12
        assert again["position_seconds"] == ended["position_seconds"]
        assert out.read_bytes() == before
        assert running.ask("DELETE", "/streams/one") == (204, None)
        assert running.ask("DELETE", "/streams/one")[0] == 404
        assert running.ask("GET", "/streams/one")[0] == 404
    # What was deleted stays away although the file names it, until the file is loaded again.
    with serving(engine, state, [entry("one", film, out)]) as running:
        assert running.ask("GET", "/streams")[1] == {"streams": []}
        running.service.reload([entry("one", film, out)])
        running.wait("one", "ended")
    assert len(out.read_bytes()) > len(before)


def test_streams_come_change_and_go_by_the_api(engine: Engine, film: Path, tmp_path: Path) -> None:
    state, out = tmp_path / "state", tmp_path / "a.jsonl"
    body = {"source": str(film), "sinks": [str(out)], "realtime": True, "emit": ["shots"]}
    with serving(engine, state, []) as running:
        status, shown = running.ask("PUT", "/streams/a", body)
        assert (status, shown["name"]) == (201, "a")
        running.wait("a", "running", "ended")
        until(lambda: len(events(out)) > 1, "two shots")
        # The same stream as fast as it goes: it goes on from where it was.
        status, _ = running.ask("PUT", "/streams/a", body | {"realtime": False})
        assert status == 200
        running.wait("a", "ended")
        assert [event["data"]["shot_index"] for event in events(out)] == list(range(12))
        text = running.ask("GET", "/streams/a")[1]
        assert text["realtime"] is False
    with serving(engine, state, []) as running:
        # Kept across restarts.
        running.wait("a", "ended")


def test_a_feed_that_was_forgotten_and_comes_back_has_other_ids(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "live.jsonl"
    with (
        feed_server(play(film, then=linger)) as server,
        serving(engine, tmp_path / "state", []) as running,
    ):
        body = {"source": server.url, "sinks": [str(out)]}
        taken: list[set[str]] = []
        for _ in range(2):
            began = time.time()
            assert running.ask("PUT", "/streams/live", body)[0] == 201
            until(
                lambda: len(events(out)) > sum(map(len, taken)) + 5,
                lambda: str(running.ask("GET", "/streams/live")),
            )
            assert running.ask("DELETE", "/streams/live")[0] == 204
            taken.append({event["id"] for event in events(out)}.difference(*taken))
            # Epochs are counted from a second.
            two_later = partial(lambda since: time.time() >= since + 2, began)
            until(two_later, "two seconds later")
    assert len(events(out)) == len(taken[0]) + len(taken[1])


def test_a_stream_that_has_ended_may_get_another_source(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "a.jsonl", tmp_path / "other.ts"
    other.write_bytes(film.read_bytes())
    body = {"source": str(film), "sinks": [str(out)], "emit": ["shots"]}
    with serving(engine, tmp_path / "state", []) as running:
        assert running.ask("PUT", "/streams/a", body)[0] == 201
        running.wait("a", "ended")
        assert running.ask("PUT", "/streams/a", body | {"source": str(other)})[0] == 200
        assert running.wait("a", "ended")["shots"] == 24
    told = [(event["data"]["epoch"], event["data"].get("shot_index")) for event in events(out)]
    first, second = [(0, index) for index in range(12)], [(1, index) for index in range(12)]
    assert told == [*first, (1, None), *second]


def test_changes_need_the_token(engine: Engine, film: Path, tmp_path: Path) -> None:
    body = {"source": str(film), "sinks": [str(tmp_path / "a.jsonl")]}
    with serving(engine, tmp_path / "state", []) as running:
        for token in (None, "", "wrong", TOKEN + "x", TOKEN[:-1], "é"):
            if token == "é":
                continue
            assert running.ask("PUT", "/streams/a", body, token)[0] == 401
            assert running.ask("DELETE", "/streams/a", token=token)[0] == 401
        assert running.ask("GET", "/streams", token=None) == (200, {"streams": []})
    with serving(engine, tmp_path / "state", [], token=None) as running:
        status, answer = running.ask("PUT", "/streams/a", body, "")
        assert status == 403
        assert "serve.token" in answer["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 50_000,
        {"source": "x"},
        {"source": "x", "sinks": []},
        {"source": "-", "sinks": ["a"]},
        {"source": "x", "sinks": ["a"], "colour": 1},
        {"source": "x", "sinks": ["a"], "threshold": 2},
        {"source": "x", "sinks": ["a"], "name": "b"},
        {"source": "x", "sinks": ["a", "ftp://user:secret@host/a"]},
        {"source": "gopher://user:secret@host/x", "sinks": ["a"]},
        {"source": "rtsp://user:secret@host:99999/x", "sinks": ["a"]},
    ],
)
def test_bad_entries_are_refused(engine: Engine, tmp_path: Path, body: object) -> None:
    with serving(engine, tmp_path / "state", []) as running:
        status, answer = running.ask("PUT", "/streams/a", body)
        assert status == 400
        assert answer["error"]
        assert "secret" not in answer["error"]
        assert running.service.hosts == {}


def test_the_number_of_streams_is_bounded(engine: Engine, film: Path, tmp_path: Path) -> None:
    many = [entry(f"s{number}", film, tmp_path / "all.jsonl") for number in range(5)]
    with serving(engine, tmp_path / "state", []) as running:
        with pytest.raises(ConfigError, match="max_streams"):
            running.service.reload(many)
        assert running.service.hosts == {}


def test_passwords_are_shown_nowhere(engine: Engine, tmp_path: Path) -> None:
    secret = "hunter2-very-secret"
    source = f"rtsp://user:{secret}@127.0.0.1:9/live?key={secret}"
    one = entry("cam", source, tmp_path / "cam.jsonl")
    with serving(engine, tmp_path / "state", [one]) as running:
        shown = running.wait("cam", "reconnecting", "failed")
        text = json.dumps(shown) + repr(one) + repr(running.said)
        text += running.ask("PUT", "/streams/x", {"source": source})[1]["error"]
    assert secret not in text
    assert "rtsp://127.0.0.1:9/live" in text


def test_a_folder_serves_one_process_at_a_time(tmp_path: Path) -> None:
    section = ServeSection(state=tmp_path / "state")
    with state_folder(section) as folder:
        assert folder == tmp_path / "state"
        with pytest.raises(StateError, match="another"), state_folder(section):
            pass
    with state_folder(section):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[streams]]\nname = 'a'\nsource = 's'\nsinks = ['x']\n" * 2, "two streams are called a"),
        ("[[streams]]\nname = 'a'\nsource = 's'\nsinks = []", "sinks"),
        ("[[streams]]\nname = 'a/b'\nsource = 's'\nsinks = ['x']", "name"),
        ("[[streams]]\nname = 'a'\nsource = 5\nsinks = ['x']", "source"),
        ("[[streams]]\nname = 'a'\nsource = 's'\nsinks = ['x']\ncolour = 1", "colour"),
        ("streams = 5", r"\[\[streams\]\]"),
    ],
)
def test_errors_in_a_file_name_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_streams(path)
