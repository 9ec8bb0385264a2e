"""Events out of Kafka: each once, none lost, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.cli.app import run
from streamer.cli.events import BATCH
from streamer.connectors.kafka.message import to_message
from streamer.events.cloudevent import to_line
from streamer.events.validate import problems
from tests.connectors.sinks.test_kafka import events, ids
from tests.kafka import PASSWORD, ROOT, USER, Broker, free_port


def fill(broker: Broker, topic: str, *lines: bytes | tuple[bytes | None, dict[str, bytes]]) -> None:
    """Produces events, and records that are none as value and headers."""
    producer = broker.producer()
    for line in lines:
        if isinstance(line, bytes):
            message = to_message(line)
            producer.produce(topic, message.value, message.key, headers=dict(message.headers))
        else:
            producer.produce(topic, line[0], headers=dict(line[1]))
    assert producer.flush(60.0) == 0


def written(count: int, first: int = 0) -> list[bytes]:
    return [to_line(event) for event in events(count, first)]


def consume(
    capfd: pytest.CaptureFixture[str], broker: Broker, topic: str, *words: str
) -> tuple[int, list[str], str]:
    capfd.readouterr()
    code = run(["consume", "--from", f"kafka://{broker.address}/{topic}", *words])
    captured = capfd.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_every_event_once_and_as_it_was_written(
    broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    topic = broker.topic()
    lines = written(5)
    fill(broker, topic, *lines[:3], *lines[1:], *lines)
    code, out, errors = consume(capfd, broker, topic, "--idle-timeout", "1")
    assert code == 0
    assert [f"{line}\n".encode() for line in out] == lines
    assert all(problems(json.loads(line)) == [] for line in out)
    assert "5 events, 7 repeats, 0 invalid records" in errors
    # Without a group nothing is remembered.
    assert len(consume(capfd, broker, topic, "--max", "2")[1]) == 2
    assert len(consume(capfd, broker, topic, "--idle-timeout", "1", "--quiet")[1]) == 5


def test_a_group_goes_on_after_what_was_printed(
    broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    topic = broker.topic()
    fill(broker, topic, *written(7))
    group = ("--group", f"of-{topic}")
    first = consume(capfd, broker, topic, *group, "--max", "3")[1]
    second = consume(capfd, broker, topic, *group, "--max", "4")[1]
    assert [json.loads(line)["id"] for line in first + second] == ids(events(7))
    fill(broker, topic, *written(1, 7))
    (last,) = consume(capfd, broker, topic, *group, "--max", "1")[1]
    assert json.loads(last)["id"] == ids(events(1, 7))[0]


def test_poison_is_reported_and_stops_nothing(
    broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    topic = broker.topic()
    one, two = written(2)
    wrong = json.loads(one)
    wrong["id"] = "95f1b825-3416-5573-bb28-f5286ebb74ad"
    wrong["data"]["score"] = 7
    foreign = {"ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"/x", "ce_type": b"other"}
    fill(
        broker,
        topic,
        one,
        (b"\x00garbage", {}),
        (None, {}),
        (b"x" * 900_000, {}),
        json.dumps(wrong).encode(),
        (b"{}", foreign | {"content-type": b"application/json"}),
        two,
    )
    code, out, errors = consume(capfd, broker, topic, "--max", "2")
    assert code == 0
    assert [f"{line}\n".encode() for line in out] == [one, two]
    assert "2 events, 0 repeats, 5 invalid records" in errors
    for words in ("offset 1: skipped: not an event", "offset 2: skipped: a record without a value"):
        assert words in errors
    assert "scenes.none" not in broker.topics
    assert "offset 4: skipped: data.score: 7 is greater than" in errors
    assert "offset 5: skipped: type: 'other' is not one of" in errors


def test_a_consumer_that_is_killed_loses_nothing(broker: Broker) -> None:
    topic = broker.topic()
    count = 3 * BATCH
    fill(broker, topic, *written(count))
    words = ["consume", "--from", f"kafka://{broker.address}/{topic}", "--group", f"of-{topic}"]
    command = [sys.executable, "-m", "streamer", *words]
    # The dead member has to be noticed before another one gets the partition.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STREAMER__KAFKA__SESSION_SECONDS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        printed = [child.stdout.readline() for _ in range(BATCH + 50)]
        child.send_signal(signal.SIGKILL)
        printed += child.stdout.readlines()
    seen = [json.loads(line)["id"] for line in printed if line.endswith(b"\n")]
    assert len(seen) < count
    again: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        while ids(events(1, count - 1))[0] not in again[-1:]:
            again.append(json.loads(child.stdout.readline())["id"])
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read() == b""
    assert child.returncode == 130
    assert list(dict.fromkeys(seen + again)) == ids(events(count))
    # What was committed does not come again.
    assert len(again) < count


def test_login_and_tls_come_from_the_configuration(
    broker: Broker,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = broker.topic()
    fill(broker, topic, *written(1))
    config = tmp_path / "streamer.toml"
    config.write_text(
        f'[kafka]\nca_file = "{broker.certificate}"\nsasl_mechanism = "SCRAM-SHA-512"\n'
        f'username = "{USER}"\n'
    )
    words = ["consume", "--from", f"kafkas://{broker.login}/{topic}", "--config", str(config)]
    monkeypatch.setenv("STREAMER__KAFKA__PASSWORD", PASSWORD)
    assert run([*words, "--max", "1"]) == 0
    assert json.loads(capfd.readouterr().out)["id"] == ids(events(1))[0]
    monkeypatch.setenv("STREAMER__KAFKA__PASSWORD", "wrong password")
    assert run(["--debug", *words]) == 50
    errors = capfd.readouterr().err
    assert "login refused" in errors
    assert "wrong password" not in errors


def test_what_cannot_be_read_is_said_in_one_line(
    broker: Broker, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "streamer.toml"
    config.write_text("[kafka]\nconnect_seconds = 0.5\n")
    for url, words in (
        (f"kafka://127.0.0.1:{free_port()}/scenes", "Connection refused"),
        (f"kafka://{broker.address}/scenes.none", "there is no topic scenes.none"),
        ("amqp://localhost/scenes", "a Kafka URL is kafka://"),
    ):
        assert run(["consume", "--from", url, "--config", str(config)]) == 50
        errors = capfd.readouterr().err
        assert errors.count("\n") == 1
        assert errors.startswith("error: ")
        assert words in errors
