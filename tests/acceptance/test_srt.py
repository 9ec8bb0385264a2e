"""The pipelines that the documentation gives for SRT, typed as they are, against a real sender."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import Process, Tail
from tests.servers.film import FRAME, SHOTS
from tests.servers.process import HOST, free_port, program, receives
from tests.servers.sender import send

DOCUMENT = Path(__file__).parents[2] / "docs" / "sources.md"
COMMANDS = [
    " ".join(found.split())
    for found in re.findall(r"`([^`]*\| streamer tail -)`", DOCUMENT.read_text())
]
ENOUGH = 5
"""One more than the film has, which then begins again."""


@pytest.fixture
def sender(known_film: Path, tmp_path: Path) -> Iterator[int]:
    """The port where the film is shown again and again to whoever calls by SRT."""
    port = free_port(socket.SOCK_DGRAM)
    target = f"srt://{HOST}:{port}?mode=listener"
    started = send(known_film, target, tmp_path / "log", "-f", "mpegts", again=True)
    started.until(lambda: receives(port), "an SRT sender")
    yield port
    started.stop()


@contextmanager
def typed(line: str) -> Iterator[Process]:
    """A shell that runs a line, in a group of its own for keys to reach all of it."""
    words = [program("setsid"), program("bash"), "-c", line]
    with Process(words, subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.child.pid, signal.SIGKILL)


def began(shot: dict[str, Any]) -> Fraction:
    return int(shot["pts"]) * Fraction(shot["time_base"])


def test_both_pipelines_are_there() -> None:
    assert [command.split()[0] for command in COMMANDS] == ["srt-live-transmit", "ffmpeg"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_srt_comes_by_way_of_another_program(
    tail: Tail, sender: int, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    line = command.replace("HOST:PORT", f"{HOST}:{sender}")
    with typed(f"{line} --emit shots --checkpoint {tail.checkpoint}") as process:
        starts = [began(process.next_event()["data"]) for _ in range(ENOUGH)]
        os.killpg(process.child.pid, signal.SIGINT)
        done = process.finish()
    assert (done.code, "interrupted" in done.errors) == (130, True), done.errors
    for (start, following), count in zip(pairwise(starts), SHOTS, strict=True):
        assert abs(following - start - count * FRAME) < FRAME


def test_what_to_type_is_said(tail: Tail) -> None:
    done = tail("srt://127.0.0.1:9?passphrase=secret-secret")
    assert (done.code, done.events) == (13, [])
    assert done.errors.startswith("error: srt://127.0.0.1:9: the linked FFmpeg has no SRT")
    assert COMMANDS[0] in done.errors
    assert "secret" not in done.errors
