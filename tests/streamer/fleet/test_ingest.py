"""Streams that are asked for are read by somebody, whoever dies."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from streamer.cli.app import run
from streamer.models.checkpoint import DEFAULT_CHECKPOINT
from streamer.models.weights.store import WeightStore
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.media import Recipe, Tone, write_film
from tests.servers.process import Process, free_port
from tests.streamer.fleet.conftest import Fleet, Worker

CHECKPOINT = str(DEFAULT_CHECKPOINT)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    write_film(path, pictures(), Recipe(rate=RATE, sound=Tone(SHOTS * 1.2)))
    return path


def test_a_film_is_read_to_its_end_although_its_worker_is_killed(
    fleet: Fleet, film: Path, weight_store: WeightStore, capfd: pytest.CaptureFixture[str]
) -> None:
    config = str(fleet.config(checkpoint=CHECKPOINT, realtime="true"))
    assert run(["tail", str(film), "--quiet", "--config", config]) == 0
    wanted = {json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()}
    assert run(["streams", "add", "film", str(film), "--config", config]) == 0
    assert (
        run(["streams", "add", "gone", "rtsp://me:secret@127.0.0.1:1/x", "--config", config]) == 0
    )
    assert run(["streams", "list", "--config", config]) == 0
    listed = capfd.readouterr().out
    assert "film" in listed
    assert "rtsp://127.0.0.1:1/x" in listed.replace("\n", "")
    assert "secret" not in listed
    assert run(["streams", "remove", "gone", "--config", config]) == 0
    assert run(["streams", "remove", "gone", "--config", config]) == 55
    first = fleet.worker(only=None, restarts=3, checkpoint=CHECKPOINT, realtime="true")
    fleet.ids(2)
    first.kill()
    second = fleet.worker(only=None, restarts=3, checkpoint=CHECKPOINT, realtime="true")
    assert set(fleet.ids(len(wanted))) == wanted
    told = scrape(second)
    assert told('streamer_shots_total{stream="film"}') > 0
    assert told('streamer_stage_seconds_total{stage="aspects",stream="film"}') > 0
    assert second.stop() == 0


def test_streams_of_a_worker_share_a_process(
    fleet: Fleet, film: Path, weight_store: WeightStore
) -> None:
    config = str(fleet.config(checkpoint=CHECKPOINT))
    for name in ("one", "two", "three"):
        assert run(["streams", "add", name, str(film), "--config", config]) == 0
    worker = fleet.worker(only=None, restarts=3, checkpoint=CHECKPOINT)
    with contextlib.closing(fleet.read(fleet.topics.boundaries)) as messages:
        scenes = (data for data in map(data_of, messages) if "continues" in data)
        ended: set[str] = set()
        while len(ended) < 3:
            scene = next(scenes)
            ended |= {scene["stream"]} if scene["ended_by"] == "end" else set()
    children = Path(f"/proc/{worker.child.pid}/task/{worker.child.pid}/children").read_text()
    assert len(children.split()) == 1
    assert worker.stop() == 0


def test_a_live_stream_goes_on_in_a_new_epoch(
    fleet: Fleet, film: Path, weight_store: WeightStore, tmp_path: Path
) -> None:
    where = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    words: list[str | Path] = ["ffmpeg", "-loglevel", "error", "-re", "-stream_loop", "-1"]
    words += ["-i", film, "-c", "copy", "-f", "mpegts", f"{where}?pkt_size=1316"]
    sender = Process(words, tmp_path / "sender.log")
    try:
        config = str(fleet.config(checkpoint=CHECKPOINT))
        assert run(["streams", "add", "camera", where, "--config", config]) == 0
        first = fleet.worker(only=None, restarts=3, checkpoint=CHECKPOINT)
        fleet.ids(3)
        first.kill()
        fleet.worker(only=None, restarts=3, checkpoint=CHECKPOINT)
        with contextlib.closing(fleet.read(fleet.topics.boundaries)) as messages:
            told = map(data_of, messages)
            number = next(told)["epoch"]
            events = itertools.takewhile(lambda data: data["epoch"] == number, told)
            assert all("reason" not in data for data in events)
        with contextlib.closing(fleet.read(fleet.topics.boundaries)) as messages:
            new = (data for data in map(data_of, messages) if data["epoch"] == number + 1)
            gap, shot = next(new), next(new)
    finally:
        sender.stop()
    assert gap["reason"] == "restart"
    assert number > 0
    assert gap["previous_epoch"] == number
    assert gap["missing_seconds"] is None or gap["missing_seconds"] > 0
    assert shot["shot_index"] == 0


def scrape(worker: Worker) -> Callable[[str], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return lambda name: float(values[name])


def data_of(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.value() or b"")
    return found
