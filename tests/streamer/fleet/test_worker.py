"""What a worker says when it cannot begin."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import NewTopic

from streamer.cli.app import run
from streamer.config.sections import FleetSection, KafkaSection
from streamer.errors import FleetError
from streamer.fleet.request import StreamRequest
from streamer.fleet.topics import TopicMaker
from tests.kafka import PASSWORD, PATIENCE, USER, Broker, free_port


def start(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run(["worker", "--only", "segment", *words])
    return code, capfd.readouterr().err


def make(broker: Broker, name: str, partitions: int, **config: str) -> None:
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin = broker.admin()
    for future in admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
        future.result(PATIENCE)


def test_nobody_answers(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER__KAFKA__CONNECT_SECONDS", "0.5")
    code, errors = start(capfd, "--broker", f"kafka://127.0.0.1:{free_port()}")
    assert code == 50
    assert "Connection refused" in errors


def test_tls_where_there_is_none_and_the_other_way_round(
    broker: Broker, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER__KAFKA__CONNECT_SECONDS", "3")
    code, errors = start(capfd, "--broker", f"kafkas://{broker.address}")
    assert code == 50
    assert "TLS" in errors
    code, errors = start(capfd, "--broker", f"kafka://{broker.tls}")
    assert code == 50
    assert "it may want TLS" in errors


def test_a_login_that_is_refused(
    broker: Broker, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "USERNAME": USER,
        "PASSWORD": "wrong " + PASSWORD,
        "CA_FILE": str(broker.certificate),
    }.items():
        monkeypatch.setenv(f"STREAMER__KAFKA__{key}", value)
    code, errors = start(capfd, "--broker", f"kafkas://{broker.login}")
    assert code == 50
    assert "login refused" in errors
    assert PASSWORD not in errors


def test_topics_that_do_not_fit(broker: Broker) -> None:
    prefix = f"p{free_port()}"
    make(broker, f"{prefix}.shots", 3)
    section = FleetSection(
        broker=f"kafka://{broker.address}", prefix=prefix, group=prefix, partitions=4
    )
    with pytest.raises(FleetError, match=r"shots has 3 partitions, fleet.partitions is 4"):
        TopicMaker(section, KafkaSection()).make()
    with pytest.raises(FleetError, match="replication factor"):
        TopicMaker(
            section.model_copy(update={"prefix": f"q{prefix}", "replicas": 3}), KafkaSection()
        ).make()


def test_too_few_replicas(
    broker: Broker, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"p{free_port()}"
    make(broker, f"{prefix}.boundaries", 2, min_insync_replicas="2")
    for key, value in {"PREFIX": prefix, "GROUP": prefix, "PARTITIONS": "2"}.items():
        monkeypatch.setenv(f"STREAMER__FLEET__{key}", value)
    code, errors = start(capfd, "--broker", f"kafka://{broker.address}")
    assert code == 55
    assert "too few replicas: 1 in sync" in errors


@pytest.mark.parametrize("location", ["", "x" * 5000])
def test_requests_that_cannot_be_made(location: str) -> None:
    with pytest.raises(FleetError, match="location: "):
        StreamRequest.make("news", location)
    with pytest.raises(FleetError, match="stream: "):
        StreamRequest.make("", "film.mkv")
