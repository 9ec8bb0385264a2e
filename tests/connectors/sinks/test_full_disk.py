"""A disk that is full to the last byte keeps nothing in the spool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from streamer.config.sections import KafkaSection
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.sinks.kafka import spool_path
from streamer.connectors.sinks.leftovers import leftovers
from streamer.connectors.sinks.registry import open_sink
from streamer.connectors.sinks.spool import Spool
from streamer.errors import SinkError
from streamer.events.cloudevent import to_line
from streamer.plugins import SinkContext
from tests.connectors.sinks.test_kafka import events, ids, received

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka import Broker

LIMIT = 1 << 30

FILLER = """
import os, sys, time
from pathlib import Path
from streamer.connectors.sinks.spool import Spool
from streamer.errors import SinkError
spool = Spool(Path(sys.argv[1]), 1 << 30)
spool.open("kafka://localhost/scenes", "film")
size, number = int(sys.argv[2]), 0
try:
    while True:
        spool.put(b"%6d" % number + bytes(size))
        number += 1
except SinkError as error:
    print(number, error, flush=True)
if sys.argv[3] == "close":
    spool.close()
else:
    time.sleep(600)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of six megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    # A test that fails may still have files open.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Somebody else takes all that is left."""
    other = disk / "film.mkv"
    descriptor = os.open(other, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    os.write(descriptor, bytes(size))
            except OSError:
                continue
        assert os.statvfs(disk).f_bavail == 0
        yield
    finally:
        os.close(descriptor)
        other.unlink()


def stored(disk: Path, size: int, end: str) -> int:
    """Puts events until there is no room, in a process that is closed or killed."""
    command = [sys.executable, "-c", FILLER, str(disk / "a.spool"), str(size), end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        count, _, message = child.stdout.readline().partition(" ")
        if end == "kill":
            child.send_signal(signal.SIGKILL)
    assert "event not stored" in message
    return int(count)


@pytest.mark.parametrize("end", ["close", "kill"])
@pytest.mark.parametrize("size", [400, 5_000, 900_000])
def test_all_events_are_taken_out_in_order(disk: Path, size: int, end: str) -> None:
    count = stored(disk, size, end)
    assert count > 1
    for _ in range(2):
        with filled(disk):
            (found,) = leftovers(disk)
            assert (found.events, found.problem) == (count, "")
            spool = Spool(disk / "a.spool", LIMIT)
            spool.open("kafka://localhost/scenes", "film")
            lines = [event.line for event in spool.after(0, 1_000_000)]
            assert lines == [b"%6d" % number + bytes(size) for number in range(count)]
            assert spool.state.events == count
            # Half of them now, the others by another process.
            half = count // 2 + 1
            numbers = [event.number for event in spool.after(0, half)]
            for number in numbers[:10]:
                spool.remove([number])
            spool.remove(numbers)
            assert spool.state.events == count - half
            spool.close()
            spool = Spool(disk / "a.spool", LIMIT)
            spool.open("kafka://localhost/scenes", "film")
            spool.remove([event.number for event in spool.after(0, 1_000_000)])
            assert spool.state.events == 0
            spool.close()
        # With room it is as before.
        assert not leftovers(disk)[0].events
        count = stored(disk, size, end)


def test_an_event_without_a_reserve_is_not_taken(disk: Path) -> None:
    spool = Spool(disk / "a.spool", LIMIT)
    spool.open("kafka://localhost/scenes", "film")
    spool.close()
    with filled(disk):
        spool.open("kafka://localhost/scenes", "film")
        with pytest.raises(SinkError, match="event not stored: no space left on the disk"):
            spool.put(b"event")
        assert spool.state.events == 0
    # There is room again, in the same process.
    spool.put(b"event")
    assert [event.line for event in spool.after(0, 9)] == [b"event"]
    spool.close()


def test_a_broker_that_is_back_gets_all_events_once(broker: Broker, disk: Path) -> None:
    section = KafkaSection(spool=disk, flush_seconds=60.0, spool_bytes=LIMIT)
    url = f"kafka://{broker.address}/{broker.topic()}"
    spool = Spool(spool_path(KafkaAddress.parse(url), "film", section), LIMIT)
    spool.open(url, "film")
    wanted = events(20_000, stream="film")
    count = 0
    with suppress(SinkError):
        for event in wanted:
            spool.put(to_line(event))
            count += 1
    spool.close()
    kept = wanted[:count]
    assert 100 < count < len(wanted)
    with filled(disk):
        sink = open_sink(url, SinkContext("film", {"kafka": section}))
        sink.flush()
        sink.close()
        topic = url.rsplit("/", 1)[1]
        assert received(broker.read(topic, len(kept))) == ids(kept)
        (found,) = leftovers(disk)
        assert (found.events, found.refused) == (0, 0)
