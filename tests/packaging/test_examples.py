"""The example plug-ins: built, installed and used by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.acceptance.command import read_event
from tests.media import Recipe, Tone, texture, write_film

ROOT = Path(__file__).parents[2]
EXAMPLES = ("webhook-sink", "loudness-aspect")


class Hooks(ThreadingHTTPServer):
    """Keeps what was posted; the first request is told to come again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = 0
        self.posted: list[bytes] = []


class Handler(BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests += 1
        if self.server.requests == 1:
            self.send_response(503)
        else:
            self.server.posted.append(body)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *words: Any) -> None: ...


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with Hooks() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages, installed from their wheels."""
    folder = tmp_path_factory.mktemp("examples")
    wheels, target = folder / "wheels", folder / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    for name in EXAMPLES:
        copy = shutil.copytree(ROOT / "examples" / name, folder / name)
        build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
        subprocess.run(
            [*build, "--wheel-dir", str(wheels), str(copy)],
            check=True,
            capture_output=True,
            timeout=240,
        )
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run(
        [*install, *map(str, wheels.glob("*.whl"))], check=True, capture_output=True, timeout=240
    )
    return target


def streamer(site: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with the packages installed."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    path = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "streamer", *map(str, words)],
        cwd=site,
        env={**known, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mkv"
    pictures = [texture(index // 50, 96, 64) for index in range(200)]
    write_film(path, pictures, Recipe(sound=Tone(8.0, level=0.5)))
    return path


def test_the_packages_pass_their_own_tests(site: Path) -> None:
    path = os.pathsep.join([str(site), str(ROOT)])
    for name in EXAMPLES:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "."],
            cwd=ROOT / "examples" / name / "tests",
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout


def test_they_are_listed(site: Path) -> None:
    done = streamer(site, "plugins", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = [
        (row["kind"], row["name"], row["version"], row["error"])
        for row in rows
        if row["distribution"] in EXAMPLES
    ]
    assert found == [
        ("sink", "webhook", "1.0", None),
        ("sink", "webhooks", "1.0", None),
        ("aspect", "loudness", "1.0", None),
    ]


@pytest.mark.usefixtures("weight_store")
def test_tail_sends_to_a_web_server(site: Path, hooks: Hooks, film: Path) -> None:
    sink = f"webhook://127.0.0.1:{hooks.server_port}/path"
    words = ("tail", film, "--threshold", "0", "--emit", "boundaries,shots,scenes", "--sink", sink)
    done = streamer(site, *words)
    assert done.returncode == 0, done.stderr
    printed = [read_event(line) for line in done.stdout.splitlines()]
    assert len(printed) >= 8
    assert [read_event(body) for body in hooks.posted] == printed
    assert hooks.requests == len(printed) + 1


def test_a_sink_that_fails_ends_the_stream_with_one_line(site: Path, film: Path) -> None:
    sink = "webhook:nothing?token=secret"
    done = streamer(site, "tail", film, "--sink", sink)
    assert done.returncode == 50
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "sink plug-in webhook (webhook-sink 1.0): ValueError: give an address" in line
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_extract_writes_the_loudness_of_a_film(site: Path, film: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('aspects.extra.loudness.network = "loudness"\n')
    film.with_suffix(".scenes.csv").write_text("start,end\n0,4\n4,8\n")
    out = tmp_path / "dataset"
    done = streamer(
        site, "extract", "--config", config, "--out", out, "--aspects", "loudness", film
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.safetensors")
    tensors = load_file(path)
    assert tensors["loudness"].shape[-1] == 2
    assert int(tensors["loudness.length"].sum()) >= 6
    level = tensors["loudness"][..., 0]
    np.testing.assert_allclose(np.median(level[level != 0]), 20 * np.log10(0.5 / 2**0.5), atol=0.5)
