"""Lines that arrive whole and at once, and clean ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamer.connectors.sinks import jsonl
from streamer.connectors.sinks.jsonl import FileSink, StdoutSink
from streamer.connectors.sinks.registry import open_sink
from streamer.connectors.sinks.sink import ConsumerGone, Durable, Sink
from streamer.errors import SinkError
from streamer.events.cloudevent import cloud_event
from tests.streamer.events.examples import boundary

EVENT = cloud_event(boundary())


def test_a_line_is_in_the_pipe_before_add_returns() -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        sink = StdoutSink(writing)
        sink.open()
        sink.add(EVENT)
        first = os.read(reading, 1 << 16)
        assert json.loads(first)["id"] == EVENT.get_id()
        assert first.endswith(b"\n")
        sink.close()
        os.fstat(writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_reader_that_leaves_ends_the_run_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with pytest.raises(ConsumerGone):
            StdoutSink(writing).add(EVENT)
    finally:
        os.close(writing)


def test_a_closed_standard_output_is_noticed_at_the_start() -> None:
    code = (
        "import os; os.close(1)\n"
        "from streamer.connectors.sinks.registry import open_sink\n"
        "from streamer.errors import SinkError\n"
        "try: open_sink('-')\n"
        "except SinkError as error: os._exit(error.exit_code)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 50


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        sink = open_sink(str(path))
        assert sink.name == str(path)
        sink.add(EVENT)
        sink.flush()
        assert path.read_bytes().endswith(b"\n")
        sink.close()
        sink.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [
        EVENT.get_id()
    ] * 2


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"id": "torn')
    sink = FileSink(path)
    sink.open()
    sink.add(EVENT)
    sink.close()
    torn, whole = path.read_text().splitlines()
    assert torn == '{"id": "torn'
    assert json.loads(whole)["id"] == EVENT.get_id()


def test_a_film_is_never_appended_to(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\x00\x00\x00\x18ftypmp42")
    with pytest.raises(SinkError, match="something else than events"):
        FileSink(film).open()
    assert film.read_bytes() == b"\x00\x00\x00\x18ftypmp42"


def test_a_named_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        sink = FileSink(path)
        sink.open()
        sink.add(EVENT)
        assert json.loads(os.read(reading, 1 << 16))["id"] == EVENT.get_id()
        sink.close()
    finally:
        os.close(reading)


def test_a_pipe_that_nobody_reads_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    monkeypatch.setattr(jsonl, "READER_SECONDS", 0.2)
    with pytest.raises(SinkError, match="nobody reads this pipe"):
        FileSink(path).open()
    monkeypatch.setattr(jsonl, "READER_SECONDS", 60.0)
    hurry = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(FileSink(path, hurry).open)
        hurry.set()
        with pytest.raises(SinkError, match="nobody reads this pipe"):
            opening.result(10)
        # Whoever comes a little later is waited for.
        sink = FileSink(path)
        opening = pool.submit(sink.open)
        with path.open("rb") as reader:
            opening.result(30)
            sink.add(EVENT)
            assert json.loads(reader.readline())["id"] == EVENT.get_id()
            sink.close()


def test_a_reader_that_pauses_is_waited_for_and_one_that_sleeps_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lines = tmp_path / "fifo", 500
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    sink = FileSink(path)
    sink.open()

    def add() -> None:
        for _ in range(lines):
            sink.add(EVENT)

    with ThreadPoolExecutor(1) as pool, os.fdopen(reading, "rb") as reader:
        adding = pool.submit(add)
        for _ in range(lines):
            assert json.loads(reader.readline())["id"] == EVENT.get_id()
        adding.result(10)
        monkeypatch.setattr(jsonl, "ROOM_SECONDS", 0.2)
        with pytest.raises(SinkError, match="takes nothing from it"):
            add()
        sink.close()


FILLER = """
import resource, signal, sys
from pathlib import Path
from streamer.connectors.sinks.jsonl import FileSink
from streamer.errors import SinkError
from streamer.events.cloudevent import cloud_event
from tests.streamer.events.examples import boundary

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = Path(sys.argv[1]).stat().st_size * 5 // 2
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sink = FileSink(Path(sys.argv[1]))
sink.open()
try:
    for number in range(5):
        sink.add(cloud_event(boundary()))
except SinkError as error:
    print(number, error)
"""


def test_a_line_that_found_no_room_leaves_nothing_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    other = FileSink(path)
    other.open()
    other.add(EVENT)
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(path)], capture_output=True, text=True, check=True
    )
    assert "event not written: File too large" in done.stdout
    # The other writer's file has been open all the time.
    other.add(EVENT)
    other.close()
    written = path.read_bytes().splitlines()
    assert len(written) == 2 + int(done.stdout.split()[0])
    assert {json.loads(line)["id"] for line in written} == {EVENT.get_id()}


def test_what_was_written_can_be_brought_to_the_disk(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "events.jsonl")
    assert isinstance(sink, Durable)
    sink.sync()
    sink.open()
    sink.add(EVENT)
    sink.sync()
    sink.flush()
    sink.add(EVENT)
    assert sink._descriptor is not None
    os.close(sink._descriptor)
    with pytest.raises(SinkError, match="not on the disk"):
        sink.sync()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device on this system")
def test_a_full_disk_is_a_sink_error() -> None:
    sink = FileSink(Path("/dev/full"))
    sink.open()
    with pytest.raises(SinkError, match="event not written: No space left"):
        sink.add(EVENT)
    sink.close()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "events.jsonl"):
        with pytest.raises(SinkError, match="cannot be written"):
            FileSink(path).open()
    with pytest.raises(SinkError, match="not open"):
        FileSink(tmp_path / "late.jsonl").add(EVENT)


def append_many(path: Path, writer: int, times: int) -> None:
    sink = FileSink(path)
    sink.open()
    event = cloud_event(boundary(stream=f"writer-{writer}-" + "x" * 150))
    for _ in range(times):
        sink.add(event)
    sink.close()


def test_several_writers_never_mix_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    # Each has its own open file, as another process would.
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda writer: append_many(path, writer, 200), range(4)))
    subjects = [json.loads(line)["subject"] for line in path.read_text().splitlines()]
    assert sorted(name.split("-")[1] for name in subjects) == sorted("0123" * 200)


@pytest.mark.parametrize(
    ("location", "kind"), [("-", StdoutSink), ("{}/a.jsonl", FileSink), ("file://{}/b", FileSink)]
)
def test_sinks_by_location(tmp_path: Path, location: str, kind: type[Sink]) -> None:
    sink = open_sink(location.format(tmp_path))
    assert isinstance(sink, kind)
    sink.close()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("amqp://host/queue", "no sink for amqp: URLs; there are .*file"),
        ("file://host/events", "local path"),
        ("file:", "local path"),
    ],
)
def test_unknown_locations(location: str, message: str) -> None:
    with pytest.raises(SinkError, match=message):
        open_sink(location)
