"""Workers on the real broker: whatever is killed, the set of events is that of an unbroken run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from streamer.fleet.record import ShotRecord
from streamer.models.checkpoint import save_moae
from tests.kafka import PATIENCE, headers_of
from tests.models.toy import toy_model
from tests.streamer.fleet.conftest import PARTITIONS, SESSION, Fleet
from tests.streamer.fleet.shots import records
from tests.streamer.fleet.test_partition import poison

# A worker that cannot take partitions over ends within a minute and is started again.
RESTARTS = 3
STREAMS = 8
SHOTS = 20


def streams() -> list[list[ShotRecord]]:
    return [records(f"s{n}", 100 * n, SHOTS // 2, epochs=2) for n in range(STREAMS)]


def part(all_streams: list[list[ShotRecord]], start: int, stop: int) -> list[ShotRecord]:
    """Records of all streams in turn."""
    return [each[at] for at in range(start, stop) for each in all_streams if at < len(each)]


def test_a_killed_worker_and_the_next_one(fleet: Fleet) -> None:
    sent = streams()
    wanted = fleet.wanted(sent)
    first = fleet.worker(restarts=RESTARTS)
    fleet.produce(part(sent, 0, 10))
    fleet.ids(5 * STREAMS)
    fleet.produce(part(sent, 10, 18))
    first.kill()
    fleet.worker(restarts=RESTARTS)
    fleet.produce(part(sent, 18, SHOTS + 1))
    assert set(fleet.ids(len(wanted))) == wanted


def test_two_workers_of_which_one_is_killed(fleet: Fleet) -> None:
    sent = streams()
    wanted = fleet.wanted(sent)
    workers = [fleet.worker(restarts=RESTARTS), fleet.worker(restarts=RESTARTS)]
    fleet.produce(part(sent, 0, 10))
    fleet.ids(8 * STREAMS)
    fleet.produce(part(sent, 10, 20))
    workers[0].kill()
    fleet.produce(part(sent, 20, SHOTS + 1))
    began = time.monotonic()
    assert set(fleet.ids(len(wanted))) == wanted
    assert time.monotonic() - began < 10 * SESSION
    assert workers[1].stop() == 0


def test_a_broker_that_comes_back(fleet: Fleet) -> None:
    sent = streams()
    wanted = fleet.wanted(sent)
    fleet.worker(restarts=RESTARTS)
    fleet.produce(part(sent, 0, 10))
    fleet.ids(5 * STREAMS)
    fleet.produce(part(sent, 10, 14))
    fleet.broker.kill()
    fleet.broker.again()
    fleet.produce(part(sent, 14, SHOTS + 1))
    assert set(fleet.ids(len(wanted))) == wanted


def test_a_consumer_that_stands_still(fleet: Fleet, tmp_path: Path) -> None:
    sent = streams()
    wanted = fleet.wanted(sent)
    fleet.worker(restarts=RESTARTS)
    address = f"kafka://{fleet.broker.address}/{fleet.topics.boundaries}"
    options = ["--from", address, "--group", fleet.prefix + "-slow", "--max", str(len(wanted))]
    with subprocess.Popen(
        [sys.executable, "-m", "streamer", "consume", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    ) as consumer:
        assert consumer.stdout is not None
        fleet.produce(part(sent, 0, SHOTS + 1))
        # Nobody empties the pipe, which holds a few dozen events: the fleet does not wait for it.
        assert set(fleet.ids(len(wanted))) == wanted
        assert consumer.poll() is None
        found = [json.loads(line)["id"] for line in consumer.stdout]
        assert consumer.wait(PATIENCE) == 0
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_poison_and_another_checkpoint(fleet: Fleet, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_moae(toy_model(seed=9), other)
    sent = streams()
    wanted = fleet.wanted(sent)
    letters = Counter(reason for reason, _, _ in poison() if reason not in {"jumps-back", "unfit"})
    fleet.produce(part(sent, 0, 6))
    for number in range(PARTITIONS):
        for reason, key, value in poison():
            if reason in letters:
                fleet.produce_raw(key, None if value is None else value[:900_000], number)
    first = fleet.worker(restarts=RESTARTS)
    fleet.ids(6 * STREAMS)
    assert first.stop() == 0
    fleet.produce(part(sent, 6, SHOTS + 1))
    worker = fleet.worker(checkpoint=str(other), restarts=RESTARTS)
    assert set(fleet.ids(len(wanted))) == wanted
    assert "another checkpoint" in worker.errors
    found: Counter[str] = Counter()
    for message in fleet.read(fleet.topics.dead_letters):
        headers = headers_of(message)
        found[headers["reason"]] += 1
        assert headers["topic"] == fleet.topics.shots
        if found.total() == PARTITIONS * letters.total():
            break
    assert worker.child.poll() is None
