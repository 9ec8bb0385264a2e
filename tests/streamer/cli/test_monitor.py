"""``streamer tail --http``: numbers and health of a run, from outside the process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.models.weights.store import WeightStore
from tests.media import Clip, Recipe, Tone, frames_of, still, texture, write_film
from tests.waiting import until

PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, path: str) -> tuple[int, str] | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return None
    finally:
        connection.close()


def number(text: str, name: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels.get("stream", "channel") == "channel"
    )


@pytest.fixture
def film(tmp_path: Path) -> Path:
    rate = Fraction(25)
    clips = [Clip(still(texture(seed, 160, 90)), 25) for seed in range(6)]
    path = tmp_path / "film.ts"
    recipe = Recipe(rate=rate, codec="mpeg2video", sound=Tone(6.0))
    write_film(path, frames_of(clips, rate), recipe)
    return path


def test_numbers_and_health_of_a_followed_file(film: Path, weight_store: WeightStore) -> None:
    port = free_port()
    command = [sys.executable, "-m", "streamer", "tail", str(film), "--follow"]
    command += ["--idle-timeout", "60", "--name", "channel", "--http", f"127.0.0.1:{port}"]
    command += ["--emit", "shots", "--threshold", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "STREAMER__HTTP__FRESH_SECONDS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as child:
        try:
            until(lambda: ask(port, "/livez") is not None, "an answer", seconds=PATIENCE)
            assert ask(port, "/livez") == (200, '{"status": "alive"}')

            def shots() -> bool:
                status, text = ask(port, "/metrics") or (0, "")
                return status == 200 and number(text, "streamer_shots_total") >= 4

            until(shots, "four shots", seconds=PATIENCE)
            _, text = ask(port, "/metrics") or (0, "")
            assert number(text, "streamer_stream_up") == 1
            assert number(text, "streamer_media_seconds_total") >= 4
            assert number(text, "process_resident_memory_bytes") > 1e7
            # Nothing is written to the file any more, which is noticed.
            until(
                lambda: (ask(port, "/readyz") or (0, ""))[0] == 503,
                "readiness to go",
                seconds=PATIENCE,
            )
            checks = json.loads((ask(port, "/readyz") or (0, "{}"))[1])["checks"]
            assert checks["model"] == {"ok": True}
            assert "no input for" in checks["source"]["reason"]
        finally:
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said
    assert ask(port, "/livez") is None


def test_an_address_that_is_taken_ends_the_run_with_a_line(film: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "streamer", "tail", str(film), "--http", place]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 45
    assert ended.stderr.strip().startswith(f"error: cannot listen on {place}")
    assert ended.stderr.count("\n") == 1


def test_an_odd_address_names_the_option_or_the_setting(film: Path) -> None:
    command = [sys.executable, "-m", "streamer", "tail", str(film)]
    for option, variable, code, name in (
        (["--http", "here"], {}, 2, "--http"),
        ([], {"STREAMER__HTTP__LISTEN": "here"}, 10, "HTTP__LISTEN"),
    ):
        ended = subprocess.run(
            command + option,
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | variable,
        )
        assert ended.returncode == code
        assert name in ended.stderr
        assert "HOST:PORT" in ended.stderr
