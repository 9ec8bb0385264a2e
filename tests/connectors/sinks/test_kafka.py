"""Events through a real broker: all of them, in order, as they were."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Message

from streamer.config.sections import KafkaSection
from streamer.connectors.kafka import sender
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.kafka.message import from_record
from streamer.connectors.sinks.kafka import KafkaSink, spool_folder, spool_path
from streamer.connectors.sinks.leftovers import leftovers
from streamer.connectors.sinks.registry import open_sink
from streamer.connectors.sinks.spool import Spool
from streamer.events.cloudevent import cloud_event, to_line
from streamer.events.validate import problems
from streamer.plugins import SinkContext
from streamer.saved import seal
from streamer.timeline import Timestamp
from tests.kafka import Broker
from tests.streamer.events.examples import boundary

STREAM = "channel-4"


def events(count: int, first: int = 0, stream: str = STREAM) -> list[CloudEvent]:
    """Boundaries a second apart."""
    places = (Timestamp(10 + number, Fraction(1)) for number in range(first, first + count))
    return [cloud_event(boundary(stream=stream, position=place)) for place in places]


def ids(sent: list[CloudEvent]) -> list[str]:
    return [event.get_id() for event in sent]


def received(records: list[Message]) -> list[str]:
    return [from_record(record.headers(), record.value()).get_id() for record in records]


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def use(tmp_path: Path, notices: list[str]) -> SinkContext:
    section = KafkaSection(spool=tmp_path / "spool", flush_seconds=60.0)
    return SinkContext(STREAM, {"kafka": section}, notices.append)


def opened(broker: Broker, topic: str, use: SinkContext) -> KafkaSink:
    sink = open_sink(f"kafka://{broker.address}/{topic}", use)
    assert isinstance(sink, KafkaSink)
    return sink


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_record_is_a_valid_event_under_the_streams_name(
    broker: Broker, use: SinkContext, compression: str
) -> None:
    topic = broker.topic()
    section = use.settings["kafka"].model_copy(update={"compression": compression})
    sink = opened(broker, topic, SinkContext(STREAM, {"kafka": section}))
    sent = events(3)
    for event in sent:
        sink.add(event)
    sink.flush()
    assert (sink.state.taken, sink.state.delivered, sink.state.waiting) == (3, 3, 0)
    sink.close()
    sink.close()
    records = broker.read(topic, 3)
    assert received(records) == ids(sent)
    for record, event in zip(records, sent, strict=True):
        assert record.key() == STREAM.encode()
        headers = dict(record.headers() or [])
        assert headers["content-type"] == b"application/json"
        assert headers["ce_id"] == event.get_id().encode()
        assert headers["ce_type"] == b"dev.moae-streamer.scene.boundary.v1"
        assert headers["ce_specversion"] == b"1.0"
        line = to_line(from_record(record.headers(), record.value()))
        assert line == to_line(event)
        assert problems(json.loads(line)) == []
    assert [(each.events, each.refused) for each in leftovers(spool_folder(section))] == [(0, 0)]


def test_a_broker_that_crashes_in_the_middle_loses_nothing_and_repeats_nothing(
    broker: Broker, use: SinkContext, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic()
    sink = opened(broker, topic, use)
    sent = events(600)
    for event in sent[:100]:
        sink.add(event)
    # A loaded machine may take as long for the first acknowledgement.
    sink.flush()
    monkeypatch.setattr(sender, "STALL_SECONDS", 0.5)
    for event in sent[100:200]:
        sink.add(event)
    broker.kill()
    for event in sent[200:400]:
        sink.add(event)
    assert sink.state.waiting >= 200
    broker.again()
    for event in sent[400:]:
        sink.add(event)
    sink.flush()
    assert not sink.state.stalled
    sink.close()
    assert received(broker.read(topic, 600)) == ids(sent)
    away, back = notices
    assert "no event was taken for 0.5 s" in away
    assert "Connection refused" in away
    assert "events are taken again" in back


PRODUCER = """
import os, sys
from pathlib import Path
from streamer.connectors.sinks.registry import open_sink
from streamer.connectors.sinks.spool import Spool
from streamer.plugins import SinkContext
from streamer.config.sections import KafkaSection
from tests.connectors.sinks.test_kafka import STREAM, events
url, folder = sys.argv[1:]
section = KafkaSection(spool=Path(folder), start_without_broker=True, connect_seconds=0.5)
sink = open_sink(url, SinkContext(STREAM, {"kafka": section}))
for event in events(1000):
    sink.add(event)
    os.write(1, event.get_id().encode() + b"\\n")
"""


@pytest.mark.parametrize("away", [False, True], ids=["broker there", "broker away"])
def test_a_producer_that_is_killed_loses_nothing_that_was_printed(
    broker: Broker, use: SinkContext, notices: list[str], away: bool
) -> None:
    topic = broker.topic()
    url = f"kafka://{broker.address}/{topic}"
    if away:
        broker.stop()
    command = [sys.executable, "-c", PRODUCER, url, str(spool_folder(use.settings["kafka"]))]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        printed = [child.stdout.readline() for _ in range(50)]
        child.send_signal(signal.SIGKILL)
        printed += child.stdout.readlines()
    told = [line.decode().strip() for line in printed]
    assert told == ids(events(len(told)))
    if away:
        broker.again()
    (left,) = leftovers(spool_folder(use.settings["kafka"]))
    sink = opened(broker, topic, use)
    if left.events:
        assert f"sending {left.events} events that an earlier run left" in notices[0]
    sink.flush()
    assert sink.state.delivered == left.events
    if away:
        assert left.events - len(told) in {0, 1}
    # The restarted run finds the same events again.
    for event in events(len(told) + 5):
        sink.add(event)
    sink.flush()
    sink.close()
    expected = ids(events(len(told) + 5))
    arrived = received(broker.read(topic))
    # Whole repeats only: in the order of their first arrival they are the events, each once.
    assert list(dict.fromkeys(arrived)) == expected


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[list[KafkaSink]]:
    sinks: list[KafkaSink] = []
    yield sinks
    for sink in sinks:
        sink.close()


def test_a_stream_is_in_the_partition_where_other_clients_put_it(
    broker: Broker, use: SinkContext, crowd: list[KafkaSink]
) -> None:
    partitions = 5
    topic = broker.topic(partitions)
    names = [f"channel {number}" for number in range(12)]
    for name in names:
        crowd.append(opened(broker, topic, SinkContext(name, use.settings)))
        crowd[-1].add(events(1, stream=name)[0])
    for sink in crowd:
        sink.flush()
    records = broker.read(topic, len(names), partitions)
    everywhere = list(range(partitions))
    found = {record.key(): record.partition() for record in records}
    assert found == {
        name.encode(): DefaultPartitioner()(name.encode(), everywhere, everywhere) for name in names
    }
    assert len(set(found.values())) > 2


def test_streams_share_a_topic_and_keep_their_own_order(
    broker: Broker, use: SinkContext, crowd: list[KafkaSink]
) -> None:
    topic = broker.topic()
    names = ["one", "two/with a slash", "två"]
    for name in names:
        crowd.append(opened(broker, topic, SinkContext(name, use.settings)))
    for number in range(40):
        for name, sink in zip(names, crowd, strict=True):
            sink.add(events(1, number, name)[0])
    for sink in crowd:
        sink.flush()
    records = broker.read(topic, 120)
    for name in names:
        own = [record for record in records if record.key() == name.encode()]
        assert received(own) == ids(events(40, stream=name))


def test_damaged_events_block_no_others_and_get_no_new_ids(
    broker: Broker, use: SinkContext, notices: list[str]
) -> None:
    topic = broker.topic()
    url = f"kafka://{broker.address}/{topic}"
    path = spool_path(KafkaAddress.parse(url), STREAM, use.settings["kafka"])
    spool = Spool(path, 1 << 20)
    spool.open(url, STREAM)
    sent = events(6)
    for event in sent:
        spool.put(to_line(event))
    spool.close()
    flipped = bytearray(seal("event", body=to_line(sent[2])))
    # In its id.
    flipped[flipped.index(sent[2].get_id().encode())] ^= 1
    with sqlite3.connect(path) as database:
        for number, line in ((3, bytes(flipped)), (5, seal("event", body=b"no event"))):
            database.execute("UPDATE events SET line = ? WHERE number = ?", (line, number))
    database.close()
    sink = opened(broker, topic, use)
    sink.flush()
    assert (sink.state.delivered, sink.state.refused, sink.state.waiting) == (4, 2, 0)
    sink.close()
    assert received(broker.read(topic, 4)) == ids([sent[0], sent[1], sent[3], sent[5]])
    assert [
        (each.events, each.refused) for each in leftovers(spool_folder(use.settings["kafka"]))
    ] == [(0, 2)]
    told = [line for line in notices if "kept in the table refused" in line]
    assert len(told) == 2
    assert any("event 3: damaged: its checksum does not match" in line for line in told)
    assert any("event 5: not an event" in line for line in told)
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT number, line FROM refused ORDER BY number").fetchall()
    database.close()
    assert rows == [(3, bytes(flipped)), (5, b"no event")]
