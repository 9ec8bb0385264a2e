"""The real ``streamer serve``, killed without warning and started again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import PATIENCE, SHOT, Tail, read_event
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.media import Recipe, Tone, write_film
from tests.streamer.live.server import linger, play, serving
from tests.waiting import until

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "recording.ts"
    recipe = Recipe(rate=RATE, codec="mpeg2video", sound=Tone(SHOTS * 1.2))
    write_film(path, pictures(), recipe)
    return path


class Served:
    """A running command and its API."""

    def __init__(self, child: subprocess.Popen[bytes], port: int) -> None:
        self.child, self.port = child, port

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None

    def state(self, name: str) -> str:
        return str(self.ask("GET", f"/streams/{name}")[1].get("state"))

    def streams(self) -> object:
        return self.ask("GET", "/streams")

    def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(PATIENCE)


@contextmanager
def command(config: Path, *program: str) -> Iterator[Served]:
    words = [sys.executable, *(program or ("-m", "streamer"))]
    words += ["serve", "--config", str(config), "--json-logs"]
    environment = os.environ | {"STREAMER__SERVE__TOKEN": TOKEN}
    with (config.parent / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.PIPE, env=environment
        )
        assert child.stderr is not None
        try:
            port = 0
            while not port:
                line = child.stderr.readline()
                assert line, "it ended at once"
                message = json.loads(line).get("message", "")
                if "/streams" in message:
                    port = int(message.rpartition("/streams")[0].rpartition(":")[2])
            yield Served(child, port)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait(PATIENCE)
            child.stderr.close()


def events(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    whole = path.read_bytes()
    return [read_event(line) for line in whole[: whole.rfind(b"\n") + 1].splitlines()]


def shots_of(path: Path) -> set[int]:
    return {event["data"]["shot_index"] for event in events(path) if event["type"] == SHOT}


def test_killed_and_started_again_nothing_is_lost_or_new(
    tail: Tail, recording: Path, tmp_path: Path
) -> None:
    """A growing file goes on from the exact place, a live source behind a gap."""
    whole = tail(recording, "--name", "grow", "--threshold", "0", "--emit", "boundaries,shots")
    growing = tmp_path / "growing.ts"
    data = recording.read_bytes()
    half = len(data) * 6 // 10 // 188 * 188
    growing.write_bytes(data[:half])
    config = tmp_path / "config.toml"
    with serving(play(recording, 0.6, linger), play(recording, 1.0, linger)) as server:
        config.write_text(f"""
[segment]
checkpoint = "{tail.checkpoint}"
threshold = 0.0
[output]
emit = ["boundaries", "shots"]
[serve]
listen = "127.0.0.1:0"
state = "{tmp_path / "state"}"
[[streams]]
name = "grow"
source = "{growing}"
sinks = ["{tmp_path / "grow.jsonl"}"]
follow = true
idle_timeout = 600.0
[[streams]]
name = "live"
source = "{server.url}"
sinks = ["{tmp_path / "live.jsonl"}"]
""")
        with command(config) as served:
            until(
                lambda: (
                    len(events(tmp_path / "grow.jsonl")) >= 3
                    and len(events(tmp_path / "live.jsonl")) >= 3
                ),
                served.streams,
                seconds=PATIENCE,
            )
            served.kill()
        before = events(tmp_path / "grow.jsonl")
        with growing.open("ab") as recorder:
            recorder.write(data[half:])
        with command(config) as served:
            # The last shot of a file that may still grow is not over.
            until(
                lambda: shots_of(tmp_path / "grow.jsonl") >= set(range(SHOTS - 1)),
                served.streams,
                seconds=PATIENCE,
            )
            until(
                lambda: any(
                    "previous_epoch" in event["data"] for event in events(tmp_path / "live.jsonl")
                ),
                served.streams,
                seconds=PATIENCE,
            )
            # The end of the file comes with the end of the stream.
            assert served.ask("DELETE", "/streams/grow")[0] == 204
            served.child.terminate()
            assert served.child.wait(PATIENCE) == 0
    got = events(tmp_path / "grow.jsonl")
    ids = [event["id"] for event in got]
    assert list(dict.fromkeys(ids)) == whole.ids
    assert len(ids) - len(set(ids)) <= 2
    assert before == got[: len(before)]
    live = events(tmp_path / "live.jsonl")
    gaps = [event["data"] for event in live if "previous_epoch" in event["data"]]
    first = live[0]["data"]["epoch"]
    assert [(gap["epoch"], gap["reason"]) for gap in gaps] == [(first + 1, "restart")]
    assert len({event["id"] for event in live}) >= len(live) - 2


def test_a_changed_file_changes_only_its_streams(
    tail: Tail, recording: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"

    def write(*names: str) -> None:
        text = f"""
[segment]
checkpoint = "{tail.checkpoint}"
[output]
emit = ["shots"]
[serve]
listen = "127.0.0.1:0"
state = "{tmp_path / "state"}"
"""
        for name in names:
            text += f"""
[[streams]]
name = "{name}"
source = "{recording}"
sinks = ["{tmp_path / name}.jsonl"]
"""
        config.write_text(text)

    write("a")
    with command(config) as served:
        until(lambda: served.state("a") == "ended", served.streams, seconds=PATIENCE)
        first = served.ask("GET", "/streams/a")[1]["since"]
        write("a", "b")
        served.child.send_signal(signal.SIGHUP)
        until(lambda: served.state("b") == "ended", served.streams, seconds=PATIENCE)
        assert served.ask("GET", "/streams/a")[1]["since"] == first
        config.write_text("[streams")
        served.child.send_signal(signal.SIGHUP)
        assert served.child.stderr is not None
        while b"not reloaded" not in served.child.stderr.readline():
            pass
        assert served.state("b") == "ended"
        status, metrics = _metrics(served)
        assert status == 200
        assert 'streamer_shots_total{stream="b"} 8.0' in metrics
        served.child.terminate()
        assert served.child.wait(PATIENCE) == 0
    assert len(events(tmp_path / "b.jsonl")) == SHOTS


def test_a_second_signal_ends_it_at_once(tail: Tail, recording: Path, tmp_path: Path) -> None:
    """A broker that accepts connections and never answers: its stream does not stop in time."""
    config = tmp_path / "config.toml"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config.write_text(f"""
[segment]
checkpoint = "{tail.checkpoint}"
[kafka]
spool = "{tmp_path / "spool"}"
connect_seconds = 60.0
[serve]
listen = "127.0.0.1:0"
state = "{tmp_path / "state"}"
[[streams]]
name = "a"
source = "{recording}"
sinks = ["kafka://127.0.0.1:{silent.getsockname()[1]}/scenes"]
""")
        with command(config) as served:
            held, _ = silent.accept()
            served.child.terminate()
            assert served.child.stderr is not None
            while b"another signal" not in served.child.stderr.readline():
                assert served.child.poll() is None
            began = time.monotonic()
            served.child.terminate()
            assert served.child.wait(PATIENCE) == -signal.SIGTERM
            assert time.monotonic() - began < 5
            held.close()


def test_hostile_clients_leave_a_line_of_json_and_health(tail: Tail, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"""
[segment]
checkpoint = "{tail.checkpoint}"
[serve]
listen = "127.0.0.1:0"
state = "{tmp_path / "state"}"
""")
    header = f"Host: x\r\nAuthorization : Bearer {TOKEN}\r\n\r\n"
    with command(config) as served, contextlib.ExitStack() as stack:
        for _ in range(300):
            idle = socket.create_connection(("127.0.0.1", served.port))
            stack.enter_context(idle)
            with socket.create_connection(("127.0.0.1", served.port)) as malformed:
                malformed.sendall(f"PUT /streams/x HTTP/1.1\r\n{header}".encode())
                assert b" 400 " in malformed.recv(1 << 12)
        assert served.ask("GET", "/livez")[0] == 200
        assert served.ask("GET", "/readyz")[0] == 200
        assert served.ask("DELETE", "/streams/x")[0] == 404
        metrics = _metrics(served)[1]
        assert 'streamer_http_refused_total{reason="malformed"} 300.0' in metrics
        served.child.terminate()
        assert served.child.stderr is not None
        lines = served.child.stderr.read().splitlines()
        assert served.child.wait(PATIENCE) == 0
    assert not any(TOKEN.encode() in line for line in lines)
    said = [str(json.loads(line)["message"]) for line in lines]
    assert 1 <= len([line for line in said if "malformed" in line]) <= 3
    assert len(said) <= 6


def _metrics(served: Served) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
