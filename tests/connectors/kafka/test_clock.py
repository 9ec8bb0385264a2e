"""Clocks that jump: deadlines, order, positions and ages do not follow them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from streamer.config.sections import FleetSection, KafkaSection
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.kafka.topic import TopicFacts, TopicProbe
from streamer.connectors.sinks.kafka import KafkaSink
from streamer.connectors.sinks.leftovers import leftovers
from streamer.connectors.sinks.registry import open_sink
from streamer.errors import FleetError, SinkError
from streamer.fleet.log import ShotLog
from streamer.fleet.outbox import Outbox
from streamer.fleet.segmenter import BrokerClock
from streamer.fleet.topics import TopicMaker
from streamer.metrics.metrics import Metrics
from streamer.plugins import SinkContext
from tests.connectors.sinks.test_kafka import STREAM, events, ids, received
from tests.kafka import PATIENCE, Broker, free_port

HOUR = 3600.0


def opened(broker: Broker, topic: str, folder: Path) -> KafkaSink:
    use = SinkContext(STREAM, {"kafka": KafkaSection(spool=folder)})
    sink = open_sink(f"kafka://{broker.address}/{topic}", use)
    assert isinstance(sink, KafkaSink)
    return sink


def test_a_wall_clock_that_steps_changes_neither_order_nor_deadlines(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, real = broker.topic(), time.time
    sink = opened(broker, topic, tmp_path)
    sent = events(9)
    for number, hours in enumerate((0, 5, -5, 48, -48)):
        monkeypatch.setattr(time, "time", lambda ahead=hours: real() + ahead * HOUR)
        for event in sent[2 * number : 2 * number + 2]:
            sink.add(event)
    sink.flush()
    assert not sink.state.stalled
    sink.close()
    assert received(broker.read(topic, 9)) == ids(sent)


def test_an_event_whose_time_the_broker_refuses_is_kept_until_it_is_taken(
    broker: Broker, tmp_path: Path
) -> None:
    # As with a clock that is behind: nothing may be older than 1 ms, and a batch waits 5.
    topic = broker.topic(message_timestamp_before_max_ms="1")
    sink = opened(broker, topic, tmp_path)
    sink.add(events(1)[0])
    with pytest.raises(
        SinkError, match=r"not taken: the clocks .* differ too much; .*LogAppendTime; 1 events wait"
    ):
        sink.flush()
    assert sink.state.errors["clock"] == 1
    sink.close()
    assert [(left.events, left.refused) for left in leftovers(tmp_path)] == [(1, 0)]
    broker.set(topic, "message.timestamp.type", "LogAppendTime")
    again = opened(broker, topic, tmp_path)
    again.flush()
    again.close()
    assert received(broker.read(topic, 1)) == ids(events(1))


def test_the_fleet_goes_by_the_clock_of_the_broker(broker: Broker) -> None:
    prefix = f"c{free_port()}"
    section = FleetSection(
        broker=f"kafka://{broker.address}", prefix=prefix, group=prefix, partitions=1
    )
    topics = TopicMaker(section, KafkaSection()).make()
    names = [
        *(topics.streams, topics.shots, topics.boundaries, topics.windows, topics.dead_letters)
    ]
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    admin = broker.admin()
    for future in admin.describe_configs(asked).values():
        assert future.result(PATIENCE)["message.timestamp.type"].value == "LogAppendTime"
    producer = broker.producer()
    now = time.time()
    for ahead in (-48, 0, 48):
        producer.produce(topics.shots, b"x", b"key", timestamp=round((now + ahead * HOUR) * 1000))
    assert producer.flush(PATIENCE) == 0
    for record in broker.read(topics.shots, 3):
        assert abs(record.timestamp()[1] / 1000 - now) < HOUR


@pytest.mark.parametrize("hours", [-48, 48])
def test_a_brokers_clock_that_jumps_leaves_something_to_rebuild_from(
    broker: Broker, hours: int
) -> None:
    topic = broker.topic(message_timestamp_after_max_ms=str(10**15))
    producer = broker.producer()
    now = time.time()
    for number in range(300):
        jumped = now + number + (hours * HOUR if number == 299 else 0)
        producer.produce(topic, b"x", b"key", timestamp=round(jumped * 1000))
    assert producer.flush(PATIENCE) == 0
    log = ShotLog(KafkaAddress.parse(f"kafka://{broker.address}/{topic}"), KafkaSection(), topic)
    assert log.since(0, 60.0) <= 300 - 256
    log.close()


def test_the_age_of_a_record_does_not_follow_the_wall_clock() -> None:
    steady, wall = 100.0, 1_000_000.0
    clock = BrokerClock(lambda: wall, lambda: steady)
    assert clock.age(wall - 7) == 7
    wall += 5 * HOUR
    steady += 1
    assert clock.age(1_000_000.0 - 7) == 8
    wall -= 48 * HOUR
    assert clock.age(1_000_000.0 - 7) == 8


def test_a_clock_that_was_behind_at_the_start_is_put_right_by_the_first_record() -> None:
    clock = BrokerClock(lambda: 0.0, lambda: 100.0)
    assert clock.age(1_000_000.0) == 0
    clock.saw(1_000_000.0)
    assert clock.age(1_000_000.0 - 3) == 3


def test_a_worker_whose_records_are_not_taken_says_why(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"r{free_port()}"
    section = FleetSection(
        broker=f"kafka://{broker.address}", prefix=prefix, group=prefix, partitions=1
    )
    maker = TopicMaker(section, KafkaSection())
    topics = maker.make()
    out = Outbox(maker.address(topics.shots), KafkaSection(), topics)
    metrics = Metrics()
    metrics.watch_client(lambda: out.waiting, lambda: out.errors)
    value = metrics.registry.get_sample_value
    process = int((broker.data / "kafka.pid").read_text())
    os.kill(process, signal.SIGSTOP)
    try:
        out.event(STREAM, events(1)[0])
        assert value("streamer_undelivered_records") == 1
        with pytest.raises(FleetError, match=r"1 records not taken .* in 0.1 s: .*no answer in 2"):
            out.flush(0.1)
        monkeypatch.setattr(TopicProbe, "look", lambda *_: TopicFacts(1, 1, 2, None))
        with pytest.raises(FleetError, match=r"in 0.1 s: .*boundaries: too few replicas: 1 in s"):
            out.flush(0.1)
    finally:
        os.kill(process, signal.SIGCONT)
    assert value("streamer_worker_errors_total", {"error": "replicas"}) == 1
    out.flush(PATIENCE)
    assert value("streamer_undelivered_records") == 0
    out.close()
