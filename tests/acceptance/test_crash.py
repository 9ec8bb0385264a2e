"""A stream that kills ``streamer serve`` is held back; its neighbours run."""

from __future__ import annotations

import signal
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest

from streamer.live.state import StateFile
from tests.acceptance import dying
from tests.acceptance.command import PATIENCE, Tail
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.acceptance.test_serve import Served, command, events
from tests.media import Recipe, Tone, write_film
from tests.waiting import until

PROGRAM = str(Path(dying.__file__))
KILLED = {"segv": -signal.SIGSEGV, "kill": -signal.SIGKILL, "late": -signal.SIGSEGV}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "recording.ts"
    write_film(path, pictures(), Recipe(rate=RATE, codec="mpeg2video", sound=Tone(SHOTS * 1.2)))
    return path


def configure(folder: Path, checkpoint: str, streams: dict[str, Path]) -> Path:
    text = f"""
[segment]
checkpoint = "{checkpoint}"
[output]
emit = ["shots"]
[serve]
listen = "127.0.0.1:0"
state = "{folder / "state"}"
"""
    for name, source in streams.items():
        text += f"""
[[streams]]
name = "{name}"
source = "{source}"
sinks = ["{folder / name}.jsonl"]
follow = true
idle_timeout = 600.0
"""
    path = folder / "config.toml"
    path.write_text(text)
    return path


def dies(served: Served, how: str) -> None:
    assert served.child.wait(PATIENCE) == KILLED[how]


def shows(served: Served, name: str, state: str) -> bool:
    return served.state(name) == state


def has_shots(path: Path, count: int) -> bool:
    return len(events(path)) >= count


def held(served: Served, name: str) -> bool:
    """Whether a stream is held back; False of a process that is dying."""
    try:
        return served.state(name) == "failed"
    except (OSError, HTTPException):
        return False


@pytest.mark.parametrize("how", KILLED)
def test_one_that_is_added_is_held_back_after_two_deaths(
    tail: Tail, recording: Path, tmp_path: Path, how: str
) -> None:
    evil = tmp_path / f"{how}.ts"
    evil.write_bytes(recording.read_bytes())
    config = configure(tmp_path, tail.checkpoint, {"a": recording, "b": recording})
    body = {"source": str(evil), "sinks": [str(tmp_path / "evil.jsonl")]}
    with command(config, PROGRAM) as served:
        for name in ("a", "b"):
            until(partial(events, tmp_path / f"{name}.jsonl"), served.streams, seconds=PATIENCE)
        assert served.ask("PUT", "/streams/evil", body)[0] == 201
        dies(served, how)
    with command(config, PROGRAM) as served:
        dies(served, how)
    with command(config, PROGRAM) as served:
        until(lambda: served.state("evil") == "failed", served.streams, seconds=PATIENCE)
        shown = served.ask("GET", "/streams/evil")[1]["last_error"]
        assert shown["kind"] == "held"
        assert "ended the process 2 times" in shown["message"]
        assert "PUT" in shown["message"]
        for name in ("a", "b"):
            until(partial(shows, served, name, "running"), served.streams, seconds=PATIENCE)
        # What is mended may run again, and what is not wanted goes.
        assert served.ask("PUT", "/streams/evil", body | {"source": str(recording)})[0] == 200
        until(lambda: served.state("evil") == "ended", served.streams, seconds=PATIENCE)
        assert served.ask("DELETE", "/streams/evil")[0] == 204
        served.child.terminate()
        assert served.child.wait(PATIENCE) == 0


@pytest.mark.parametrize("how", KILLED)
def test_one_of_many_that_begin_together_is_found(
    tail: Tail, recording: Path, tmp_path: Path, how: str
) -> None:
    evil = tmp_path / f"{how}.ts"
    evil.write_bytes(recording.read_bytes())
    streams = {"a": recording, "evil": evil, "b": recording, "c": recording}
    config = configure(tmp_path, tail.checkpoint, streams)
    deaths = 0
    while True:
        with command(config, PROGRAM) as served:
            until(
                lambda: served.child.poll() is not None or held(served, "evil"),
                "neither dead nor held back",
                seconds=PATIENCE,
            )
            if served.child.poll() is not None:
                deaths += 1
                assert deaths <= 3
                continue
            for name in ("a", "b", "c"):
                until(
                    partial(has_shots, tmp_path / f"{name}.jsonl", SHOTS - 1),
                    served.streams,
                    seconds=PATIENCE,
                )
            states = {name: served.state(name) for name in streams}
            assert states == {"a": "running", "b": "running", "c": "running", "evil": "failed"}
            # It is in the file: loading that again tries it once more.
            evil.write_bytes(b"")
            served.child.send_signal(signal.SIGHUP)
            until(
                lambda: "held" not in str(served.ask("GET", "/streams/evil")[1]["last_error"]),
                served.streams,
                seconds=PATIENCE,
            )
            break
    assert deaths == 2 or (deaths == 3 and how != "late")


def test_kills_from_outside_hold_back_nothing_that_had_shots(
    tail: Tail, recording: Path, tmp_path: Path
) -> None:
    config = configure(tmp_path, tail.checkpoint, {"a": recording})
    out = tmp_path / "a.jsonl"
    for _ in range(3):
        with command(config, PROGRAM) as served:
            # The state behind the first shot is written before the second is sent.
            until(lambda: len(events(out)) > 1, served.streams, seconds=PATIENCE)
            served.kill()
        # From the beginning again, so that each life has a first shot.
        out.unlink()
        StateFile(tmp_path / "state", "a").path.unlink()
    with command(config, PROGRAM) as served:
        until(lambda: events(out), served.streams, seconds=PATIENCE)
        assert served.state("a") == "running"
