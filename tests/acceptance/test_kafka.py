"""A film's events in Kafka, whatever is killed on the way."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from streamer.connectors.kafka.message import from_record
from streamer.connectors.sinks.leftovers import leftovers
from streamer.events.cloudevent import to_line
from tests.acceptance.command import EVERYTHING, Tail
from tests.kafka import Broker, free_port


def test_what_is_printed_is_what_is_sent(
    tail: Tail, film: Path, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER__KAFKA__SPOOL", str(tmp_path))
    topics = [broker.topic(), broker.topic()]
    sinks = [f"--sink=kafka://{broker.address}/{topic}" for topic in topics]
    done = tail(film, "--threshold", "0", *EVERYTHING, *sinks)
    assert done.code == 0
    for topic in topics:
        records = broker.read(topic, len(done.events))
        lines = [to_line(from_record(record.headers(), record.value())) for record in records]
        assert [json.loads(line) for line in lines] == done.events
        assert {record.key() for record in records} == {b"film"}


def test_a_killed_run_and_its_repeat_are_the_whole_film(
    tail: Tail, film: Path, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER__KAFKA__SPOOL", str(tmp_path))
    topic = broker.topic()
    words = (film, "--threshold", "0", *EVERYTHING, f"--sink=kafka://{broker.address}/{topic}")
    with tail.start(*words, "--realtime") as process:
        for _ in range(4):
            process.next_event()
        process.child.send_signal(signal.SIGKILL)
        rest = process.finish()
    printed = [event["id"] for event in rest.events]
    whole = tail(*words).ids
    records = broker.read(topic)
    arrived = [from_record(record.headers(), record.value()).get_id() for record in records]
    assert printed == whole[: len(printed)]
    assert list(dict.fromkeys(arrived)) == whole


def test_a_broker_that_is_away(
    tail: Tail, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {"SPOOL": tmp_path, "CONNECT_SECONDS": 0.3, "FLUSH_SECONDS": 0.3}.items():
        monkeypatch.setenv(f"STREAMER__KAFKA__{key}", str(value))
    sink = f"--sink=kafka://127.0.0.1:{free_port()}/scenes"
    refused = tail(film, sink)
    assert (refused.code, refused.events) == (50, [])
    assert "Connection refused" in refused.errors
    monkeypatch.setenv("STREAMER__KAFKA__START_WITHOUT_BROKER", "true")
    done = tail(film, "--threshold", "0", sink)
    assert done.code == 50
    assert done.events
    assert f"{len(done.events)} events not delivered" in done.errors
    assert leftovers(tmp_path)[0].events == len(done.events)
