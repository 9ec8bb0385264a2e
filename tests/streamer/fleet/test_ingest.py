"""Streams that are asked for are read by somebody, whoever dies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.checkpoint import DEFAULT_CHECKPOINT
from models.weights.store import WeightStore
from streamer.cli.app import run
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.media import Recipe, Tone, write_film
from tests.streamer.fleet.conftest import Fleet


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    write_film(path, pictures(), Recipe(rate=RATE, sound=Tone(SHOTS * 1.2)))
    return path


def test_a_film_is_read_to_its_end_although_its_worker_is_killed(
    fleet: Fleet, film: Path, weight_store: WeightStore, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = {"checkpoint": str(DEFAULT_CHECKPOINT), "realtime": "true"}
    config = str(fleet.config(**changes))
    assert run(["tail", str(film), "--quiet", "--config", str(fleet.config(**changes))]) == 0
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
    first = fleet.worker(only=None, **changes)
    fleet.ids(2)
    first.kill()
    second = fleet.worker(only=None, **changes)
    assert set(fleet.ids(len(wanted))) == wanted
    assert second.stop() == 0
