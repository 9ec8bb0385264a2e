"""What people type first: short forms, wrong values, files with dashes, and being stopped."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamer.cli.app import run
from streamer.config.sections import FleetSection, KafkaSection
from streamer.fleet.request import Register
from tests.kafka import Broker, free_port
from tests.waiting import until


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run(words)
    error = capsys.readouterr().err
    assert error.count("\n") == (code != 0), error
    return code, error


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--threshold", ("abc", "2", "-1", "nan")),
        ("--lookahead", ("1.5", "99", "-1")),
        ("--idle-timeout", ("soon", "0")),
        ("--emit", ("nothing", "")),
        ("--http", ("here", "1:2:3")),
        ("--device", ("abacus",)),
    ],
)
def test_a_wrong_value_has_one_exit_code_and_names_its_option(
    capsys: pytest.CaptureFixture[str], option: str, values: tuple[str, ...]
) -> None:
    for value in values:
        code, error = said(capsys, "tail", "film.mkv", option, value)
        assert code == 2
        assert error.startswith(f"error: Invalid value for '{option}': ")
        assert "See streamer tail --help" in error


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "set", "--threshold", "2"),
        ("consume", "--from", "kafka://a/b", "--max", "0"),
        ("train", "set", "--out", "run", "--mixer-lr", "0"),
        ("train", "set", "--out", "run", "--alpha", "-1"),
        ("train", "set", "--out", "run", "--row", "MOAE_Z"),
        ("evaluate", "set", "--device", "abacus"),
        ("tables", "set", "--out", "run", "--device", "abacus"),
        ("extract", "film.mkv", "--out", "set", "--frame-rate", "1e999999"),
        ("compose", "--media", ".", "--out", "films", "--fps", "0"),
        ("worker", "--broker", "localhost:9092"),
        ("streams", "list", "--broker", "localhost"),
        ("topics", "create", "--partitions", "0"),
    ],
)
def test_other_commands_do_the_same(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, error = said(capsys, *words)
    option = next(
        word
        for word in words
        if word.startswith("--") and word not in {"--from", "--out", "--media"}
    )
    assert code == 2
    assert option in error


def test_a_setting_that_is_wrong_elsewhere_is_a_matter_of_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER__SEGMENT__THRESHOLD", "2")
    code, error = said(capsys, "tail", "film.mkv")
    assert code == 10
    assert "STREAMER__SEGMENT__THRESHOLD" in error


@pytest.mark.parametrize("words", [("-h",), ("tail", "-h"), ("streams", "add", "-h")])
def test_h_is_help(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert run(words) == 0
    assert "Usage: streamer" in capsys.readouterr().out


def test_an_input_alone_is_segmented(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").touch()
    Path("-dash.mp4").touch()
    for words in (["./none.mkv"], ["none.mkv", "--quiet"], ["https:/none"]):
        assert said(capsys, *words)[0] == 21
    assert said(capsys, "plain")[0] == 24
    assert said(capsys, "--", "-dash.mp4")[0] == 24
    assert said(capsys, "tail", "--", "-dash.mp4")[0] == 24
    code, error = said(capsys, "tial")
    assert (code, "No such command" in error) == (2, True)


@pytest.mark.parametrize("words", [("-dash.mp4",), ("tail", "-dash.mp4"), ("probe", "-dash.mp4")])
def test_a_name_that_begins_with_a_dash_gets_a_hint(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-dash.mp4").touch()
    code, error = said(capsys, *words)
    assert code == 2
    assert "-- -dash.mp4" in error


def test_a_terminal_shows_at_once_what_is_waited_for(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"no film" * 100)
    ours, theirs = pty.openpty()
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "streamer", "tail", str(film)], stdin=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        shown = b""
        while b"loading networks" not in shown:
            ready, _, _ = select.select([ours], [], [], 20.0)
            assert ready, shown
            shown += os.read(ours, 4096)
        took = time.monotonic() - began
        # Torch and its kind are not imported yet: they take seconds.
        maps = Path(f"/proc/{child.pid}/maps").read_text()
        assert "libtorch" not in maps
        assert "libav" not in maps
        child.kill()
    os.close(ours)
    assert took < 10.0


def places(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for place in ("hall", "yard", "roof"):
        there = folder / "places" / place
        there.mkdir(parents=True)
        for view in range(2):
            blotches = Image.fromarray(rng.integers(0, 255, (4, 6, 3), np.uint8))
            blotches.resize((180, 120)).save(there / f"{view}.png")
    return folder


def test_nothing_is_drawn_into_pipes(tmp_path: Path) -> None:
    options = ["--movies", "1", "--minutes", "0.05", "--size", "96x64", "--sound", "none"]
    words = ["compose", "--media", str(places(tmp_path / "media")), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "streamer", *words, *options, "--jobs", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def test_a_signal_ends_the_processes_of_a_command_and_leaves_nothing(tmp_path: Path) -> None:
    words = ["compose", "--media", str(places(tmp_path / "media")), "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamer",
            *words,
            "--movies",
            "2",
            "--minutes",
            "60",
            "--jobs",
            "2",
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        # The resource tracker and the two that compose.
        until(lambda: len(children(child.pid)) >= 3, "processes")
        until(lambda: list((tmp_path / "out").glob(".*")), "a film that is begun")
        below = children(child.pid)
        child.send_signal(signal.SIGTERM)
        _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (130, "")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), "their end")


def test_a_single_film_is_refused_before_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "film.safetensors").write_bytes(b"never read")
    code, error = said(capsys, "train", str(tmp_path), "--out", str(tmp_path / "run"))
    assert code == 60
    assert "at least two training movies" in error


def test_paths_of_streams_become_absolute(
    broker: Broker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = f"paths{free_port()}"
    section = FleetSection(
        broker=f"kafka://{broker.address}", prefix=prefix, group=prefix, partitions=2
    )
    for key in ("PREFIX", "GROUP"):
        monkeypatch.setenv(f"STREAMER__FLEET__{key}", prefix)
    monkeypatch.setenv("STREAMER__FLEET__PARTITIONS", "2")
    monkeypatch.chdir(tmp_path)
    Path("there.mkv").touch()
    where = ["--broker", section.broker]
    assert run(["streams", "add", "a", "there.mkv", *where]) == 0
    assert capsys.readouterr().err == ""
    assert run(["streams", "add", "b", "sub/none.mkv", *where]) == 0
    assert "none.mkv: no such file here" in capsys.readouterr().err
    for name, location in (("c", "rtsp://camera/news"), ("d", "mic:default"), ("e", "~nobody/x")):
        assert run(["streams", "add", name, location, *where]) == 0
    capsys.readouterr()
    assert said(capsys, "streams", "add", "f", "-", *where)[0] == 2
    locations = [request.location for request in Register(section, KafkaSection()).all()]
    assert locations == [
        str(tmp_path / "there.mkv"),
        str(tmp_path / "sub" / "none.mkv"),
        "rtsp://camera/news",
        "mic:default",
        str(tmp_path / "~nobody" / "x"),
    ]
    broker.forget(prefix)
