"""A broker with access lists: what a login lacks is named, and nothing waits or is lost for it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from streamer.cli.app import run
from streamer.config.sections import KafkaSection
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.kafka.client import _KINDS
from streamer.connectors.kafka.reader import EventReader, Record
from streamer.connectors.sinks.kafka import KafkaSink
from streamer.connectors.sinks.leftovers import leftovers
from streamer.connectors.sinks.registry import open_sink
from streamer.errors import FleetError, SinkError
from streamer.events.cloudevent import cloud_event
from streamer.fleet.log import ShotLog
from streamer.fleet.outbox import Outbox
from streamer.fleet.topics import Topics
from streamer.metrics.catalogue import BROKER_ERRORS
from streamer.metrics.metrics import Metrics
from streamer.plugins import SinkContext
from tests.connectors.kafka.conftest import Config, Settings
from tests.connectors.kafka.refusal import refused
from tests.connectors.kafka.secured import Secured
from tests.connectors.sinks.test_kafka import STREAM, events, ids, received
from tests.kafka import PASSWORD, PATIENCE
from tests.streamer.events.examples import boundary
from tests.waiting import until


def section(tmp_path: Path, account: Settings) -> KafkaSection:
    return KafkaSection.model_validate({"spool": tmp_path / "spool"} | account)


def opened(url: str, use: KafkaSection) -> KafkaSink:
    sink = open_sink(url, SinkContext(STREAM, {"kafka": use}))
    assert isinstance(sink, KafkaSink)
    return sink


@pytest.mark.parametrize(
    ("command", "given", "lacks"),
    [
        ("tail", [], "topic TOPIC: it needs WRITE there"),
        ("tail", ["DESCRIBE topic TOPIC"], "topic TOPIC: it needs WRITE there"),
        ("tail", ["READ topic TOPIC", "WRITE topic TOPIC-2"], "topic TOPIC: it needs WRITE there"),
        ("consume", [], "topic TOPIC: it needs READ there"),
        ("consume", ["WRITE topic TOPIC", "READ group of-TOPIC"], "topic TOPIC: it needs READ"),
        ("consume", ["READ topic TOPIC"], "group of-TOPIC: it needs READ there"),
    ],
)
def test_what_a_login_lacks_is_said_before_anything_begins(
    secured: Secured,
    account: Settings,
    config: Config,
    film: str,
    capfd: pytest.CaptureFixture[str],
    command: str,
    given: list[str],
    lacks: str,
) -> None:
    topic = secured.topic()
    secured.allow(*(right.replace("TOPIC", topic) for right in given))
    url = f"kafka://{secured.login}"
    code, errors = refused(command, url, topic, config(**account), film, capfd)
    assert code == 50
    assert errors.startswith(
        f"error: {url}/{topic}: the login may not use {lacks.replace('TOPIC', topic)}"
    )
    assert PASSWORD not in errors


def test_a_right_that_is_withdrawn_leaves_events_in_the_spool(
    secured: Secured, account: Settings, tmp_path: Path
) -> None:
    topic = secured.topic()
    secured.allow(f"WRITE topic {topic}")
    url, use = f"kafka://{secured.login}/{topic}", section(tmp_path, account)
    sink = opened(url, use)
    sink.add(events(1)[0])
    sink.flush()
    secured.forbid(f"WRITE topic {topic}")
    sink.add(events(1, 1)[0])
    with pytest.raises(
        SinkError, match=rf"not taken: .* topic {topic}: it needs WRITE there; 1 events wait in"
    ):
        sink.flush()
    metrics = Metrics()
    metrics.watch_sink(STREAM, sink.name, lambda: sink.state)
    labels = {"stream": STREAM}
    value = metrics.registry.get_sample_value
    assert value("streamer_sink_errors_total", labels | {"error": "rights"}) == 1
    assert value("streamer_sink_errors_total", labels | {"error": "tls"}) == 0
    assert value("streamer_spool_events", labels) == 1
    sink.close()
    assert [(left.events, left.refused) for left in leftovers(tmp_path / "spool")] == [(1, 0)]
    secured.allow(f"WRITE topic {topic}")
    again = opened(url, use)
    again.flush()
    again.close()
    assert received(secured.read(topic, 2)) == ids(events(2))


def test_reading_without_a_group_needs_no_right_to_one(
    secured: Secured,
    account: Settings,
    config: Config,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    topic = secured.topic()
    secured.allow(f"WRITE topic {topic}", f"READ topic {topic}")
    url = f"kafka://{secured.login}/{topic}"
    sink = opened(url, section(tmp_path, account))
    sink.add(events(1)[0])
    sink.flush()
    sink.close()
    assert run(["consume", "--from", url, "--max", "1", "--config", config(**account)]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["id"] == ids(events(1))[0]
    assert "warning" not in captured.err


def test_a_worker_names_the_record_the_position_and_the_part_of_the_log_that_it_may_not_touch(
    secured: Secured, account: Settings, tmp_path: Path
) -> None:
    topics = Topics(f"w{uuid.uuid4().hex[:8]}", f"w{uuid.uuid4().hex[:8]}")
    secured.make(topics.boundaries, topics.shots)
    address = KafkaAddress.parse(f"kafka://{secured.login}/{topics.shots}")
    use = section(tmp_path, account | {"connect_seconds": 2.0})
    out = Outbox(address, use, topics)
    out.event(STREAM, cloud_event(boundary(stream=STREAM)))
    needs = f"the login may not use topic {topics.boundaries}: it needs WRITE there"
    with pytest.raises(FleetError, match=needs):
        out.flush(30.0)
    assert out.errors["rights"] >= 1
    out.close()
    log = ShotLog(address, use, topics.positions_group)
    with pytest.raises(
        FleetError, match=f"{topics.shots}: there is no such topic, or the login may not see it"
    ):
        log.ends(0)
    log.close()
    secured.allow(f"DESCRIBE topic {topics.shots}")
    producer = secured.producer()
    producer.produce(topics.shots, b"shot", b"key")
    assert producer.flush(PATIENCE) == 0
    log = ShotLog(address, use, topics.positions_group)
    with pytest.raises(FleetError, match=f"use topic {topics.shots}: it needs READ there"):
        list(log.read(0, 0, 1))
    secured.allow(f"READ topic {topics.shots}")
    with pytest.raises(FleetError, match=f"use group {topics.positions_group}: it needs READ"):
        log.positions([0])
    assert log.errors["rights"] == 1
    log.close()


def test_a_consumer_whose_right_is_withdrawn_ends(
    secured: Secured, account: Settings, tmp_path: Path
) -> None:
    topic = secured.topic()
    secured.allow(f"READ topic {topic}", f"WRITE topic {topic}", f"READ group of-{topic}")
    url, use = f"kafka://{secured.login}/{topic}", section(tmp_path, account)
    sink = opened(url, use)
    sink.add(events(1)[0])
    sink.flush()
    sink.close()
    reader = EventReader(KafkaAddress.parse(url), use, f"of-{topic}", pytest.fail)
    reader.open()
    records = read(reader)
    assert records
    secured.forbid(f"READ group of-{topic}")
    with pytest.raises(SinkError, match=f"not committed: .*group of-{topic}: it needs READ there"):
        reader.commit()
    secured.forbid(f"READ topic {topic}")
    with pytest.raises(SinkError, match="it needs READ there"):
        read(reader)
    reader.close()


def read(reader: EventReader) -> list[Record]:
    found: list[Record] = []

    def come() -> bool:
        found.extend(reader.batch(10, 0.2))
        return bool(found)

    until(come, "a record", seconds=PATIENCE)
    return found


def test_every_kind_of_error_is_counted_from_the_beginning() -> None:
    assert set(BROKER_ERRORS) == {*_KINDS.values(), "other"}
    value = Metrics().registry.get_sample_value
    for kind in BROKER_ERRORS:
        assert value("streamer_worker_errors_total", {"error": kind}) == 0
