"""Faust's loss on the real broker, and the same loss under a worker of ours.

After a kill and a recovery Faust 0.15.3 may pass over records that it has fetched. How often that
happens depends on the machine; here it is made to happen. Faust then takes the hole for one that
the broker made and commits past it: the records are lost for good. Its recoveries hang now and
then; here one does because what it waits for never comes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from streamer.errors import FleetError
from tests.kafka import PATIENCE, Broker, silent
from tests.streamer.fleet.conftest import SESSION, Fleet
from tests.streamer.fleet.shots import records
from tests.waiting import until

HERE = Path(__file__).parent
LOST = range(10, 20)
COUNT = 40


def committed(broker: Broker, group: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group}, logger=silent())
    try:
        return consumer.committed([TopicPartition(topic, 0)], timeout=PATIENCE)[0].offset
    finally:
        consumer.close()


def test_faust_commits_past_what_it_never_delivered(broker: Broker, tmp_path: Path) -> None:
    source, sink = broker.topic(), broker.topic()
    group = f"naive-{source}"
    producer = broker.producer()
    for number in range(COUNT):
        producer.produce(source, str(number), "stream", 0)
    assert producer.flush(PATIENCE) == 0
    words = [HERE / "lossy.py", source, LOST.start, LOST.stop, HERE / "naive.py", broker.address]
    words += [group, source, sink, tmp_path, 1, SESSION]
    with subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as child:
        try:
            done = [int(each.value() or b"") for each in broker.read(sink, COUNT - len(LOST))]

            def past_the_hole() -> bool:
                assert child.poll() is None
                return committed(broker, group, source) >= COUNT

            until(past_the_hole, "a commit past what was lost", seconds=PATIENCE)
        finally:
            child.kill()
    assert done == [number for number in range(COUNT) if number not in LOST]


def test_a_worker_finds_what_faust_never_delivered(fleet: Fleet) -> None:
    sent = [records(f"s{n}", n, 30) for n in range(3)]
    wanted = fleet.wanted(sent)
    fleet.produce([record for turn in zip(*sent, strict=True) for record in turn])
    fleet.worker(lossy=(fleet.topics.shots, LOST.start, LOST.stop))
    assert set(fleet.ids(len(wanted))) == wanted


def test_a_recovery_that_hangs_ends_its_worker(fleet: Fleet) -> None:
    sent = [records(f"s{n}", n, 30) for n in range(3)]
    wanted = fleet.wanted(sent)
    turns = [record for turn in zip(*sent, strict=True) for record in turn]
    first = fleet.worker()
    fleet.produce(turns[:45])
    fleet.ids(45)
    # Windows are saved by then, so that there is something to recover.
    assert first.stop() == 0
    nothing = fleet.topics.windows, 0, 1_000_000
    hanging = fleet.worker(lossy=nothing, recovery_seconds="4")
    assert hanging.child.wait(40) == FleetError.exit_code
    assert "no partitions could be taken over" in hanging.errors
    fleet.produce(turns[45:])
    fleet.worker()
    assert set(fleet.ids(len(wanted))) == wanted
