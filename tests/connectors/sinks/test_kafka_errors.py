"""What goes wrong with a broker, each in one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from cloudevents.core.v1.event import CloudEvent

from streamer.cli.app import run
from streamer.config.sections import KafkaSection
from streamer.connectors.sinks.kafka import KafkaSink, spool_folder
from streamer.connectors.sinks.leftovers import leftovers
from streamer.connectors.sinks.registry import open_sink
from streamer.connectors.sinks.sink import Sink
from streamer.errors import ConfigError, SinkError
from streamer.plugins import SinkContext
from tests.connectors.sinks.test_kafka import STREAM, events, ids, received
from tests.kafka import PASSWORD, USER, Broker, free_port, script


def section(tmp_path: Path, **options: object) -> KafkaSection:
    return KafkaSection.model_validate(
        {"spool": tmp_path / "spool", "connect_seconds": 1.5, "flush_seconds": 60.0} | options
    )


def refused(url: str, use: KafkaSection) -> str:
    with pytest.raises(SinkError) as refusal:
        open_sink(url, SinkContext(STREAM, {"kafka": use})).close()
    assert refusal.value.exit_code == 50
    text = str(refusal.value)
    assert "\n" not in text
    assert PASSWORD not in text
    assert text.startswith(f"{url}: ")
    return text


def login(**changes: object) -> dict[str, object]:
    return {"sasl_mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD} | changes


def test_addresses_where_nobody_answers(tmp_path: Path) -> None:
    closed = refused(f"kafka://127.0.0.1:{free_port()}/scenes", section(tmp_path))
    assert "Connection refused" in closed
    assert "resolve" in refused("kafka://no-such-host.invalid:9092/scenes", section(tmp_path))


def test_a_topic_that_is_not_there(broker: Broker, tmp_path: Path) -> None:
    text = refused(f"kafka://{broker.address}/scenes.none", section(tmp_path))
    command = f"streamer topics create kafka://{broker.address}/scenes.none"
    assert f"there is no topic scenes.none; make it with `{command}`" in text
    assert "kafka.create_topics = true" in text
    assert "scenes.none" not in broker.topics
    assert run(command.split()[1:]) == 0
    open_sink(text.partition(": ")[0], SinkContext(STREAM, {"kafka": section(tmp_path)})).close()
    broker.forget("scenes.none")


def test_a_topic_is_made_where_that_is_wanted(broker: Broker, tmp_path: Path) -> None:
    name = f"scenes.made-{free_port()}"
    url = f"kafka://{broker.address}/{name}"
    wanted = section(tmp_path, create_topics=True, partitions=3)
    for _ in range(2):
        sink = open_sink(url, SinkContext(STREAM, {"kafka": wanted}))
        sink.add(events(1)[0])
        sink.flush()
        sink.close()
    assert received(broker.read(name, 2, partitions=3)) == ids(events(1)) * 2
    text = refused(f"{url}-more", section(tmp_path, create_topics=True, replicas=3))
    assert f"topic {name}-more could not be made" in text
    assert "replication factor" in text


def test_a_topic_that_is_deleted_meanwhile_is_named(broker: Broker, tmp_path: Path) -> None:
    topic = broker.topic()
    url = f"kafka://{broker.address}/{topic}"
    use = section(tmp_path, flush_seconds=90.0)
    sink = open_sink(url, SinkContext(STREAM, {"kafka": use}))
    sink.add(events(3)[0])
    sink.flush()
    broker.forget(topic)
    sink.add(events(3)[1])
    with pytest.raises(SinkError, match=r"there is no topic .*streamer topics create"):
        sink.flush()
    with contextlib.suppress(SinkError):
        sink.close()
    # What was not taken waits, and goes to the topic as soon as it is there again.
    assert run(["topics", "create", url, "--partitions", "1"]) == 0
    sink = open_sink(url, SinkContext(STREAM, {"kafka": use}))
    sink.add(events(3)[2])
    sink.flush()
    sink.close()
    assert received(broker.read(topic, 2)) == ids(events(3))[1:]


def test_tls_and_login(broker: Broker, tmp_path: Path) -> None:
    topic = broker.topic()
    trusted = {"ca_file": broker.certificate}
    for url, options in (
        (f"kafkas://{broker.tls}/{topic}", trusted),
        (f"kafkas://{broker.login}/{topic}", trusted | login()),
        (f"kafkas://{broker.login}/{topic}", trusted | login(sasl_mechanism="PLAIN")),
        (f"kafka://{broker.open}/{topic}", login()),
    ):
        sink = open_sink(url, SinkContext(STREAM, {"kafka": section(tmp_path, **options)}))
        sink.add(events(1)[0])
        sink.flush()
        sink.close()
    assert received(broker.read(topic, 4)) == ids(events(1)) * 4


@pytest.mark.parametrize(
    ("listener", "tls", "options", "words"),
    [
        ("tls", False, {}, "it may want TLS"),
        ("open", False, {}, "or a login"),
        (
            "address",
            True,
            {"ca_file": "CA"},
            "no TLS connection: .*begins with kafka://",
        ),
        ("tls", True, {}, "no TLS connection: .*certificate verify failed"),
        ("login", True, {"ca_file": "CA"} | login(password="wrong"), "login refused: "),
        (
            "login",
            True,
            {"ca_file": "CA"} | login(sasl_mechanism="SCRAM-SHA-256"),
            "login refused: .*Unsupported SASL mechanism",
        ),
        ("tls", True, {"ca_file": "none.pem"}, "ssl.ca.location failed"),
    ],
)
def test_tls_and_login_that_do_not_fit(
    broker: Broker,
    tmp_path: Path,
    listener: str,
    tls: bool,
    options: dict[str, object],
    words: str,
) -> None:
    known = {key: broker.certificate if value == "CA" else value for key, value in options.items()}
    url = f"kafka{'s' if tls else ''}://{getattr(broker, listener)}/scenes"
    text = refused(url, section(tmp_path, **known))
    assert re.search(words, text), text


def test_a_password_never_travels_in_the_clear(tmp_path: Path) -> None:
    options = section(tmp_path, **login(sasl_mechanism="PLAIN"))
    with pytest.raises(ConfigError, match="needs kafkas://"):
        open_sink("kafka://localhost/scenes", SinkContext(STREAM, {"kafka": options}))
    assert PASSWORD not in repr(options)
    assert PASSWORD not in options.model_dump_json()


def test_an_event_that_is_too_large_for_the_topic(broker: Broker, tmp_path: Path) -> None:
    topic = broker.topic(max_message_bytes="1100")
    sink = open_sink(
        f"kafka://{broker.address}/{topic}", SinkContext(STREAM, {"kafka": section(tmp_path)})
    )
    with pytest.raises(SinkError, match=r"has \d+ bytes and the topic takes 1100; raise"):
        sink.add(events(1)[0])
    sink.close()
    assert leftovers(tmp_path / "spool")[0].events == 0


def test_many_events_fit_where_each_of_them_does(broker: Broker, tmp_path: Path) -> None:
    topic = broker.topic(max_message_bytes="5000")
    use = SinkContext(STREAM, {"kafka": section(tmp_path, compression="none")})
    sink = open_sink(f"kafka://{broker.address}/{topic}", use)
    for event in events(50):
        sink.add(event)
    sink.flush()
    sink.close()
    assert received(broker.read(topic, 50)) == ids(events(50))


def test_a_limit_that_shrinks_meanwhile_costs_no_event_and_blocks_none(
    broker: Broker, tmp_path: Path
) -> None:
    topic = broker.topic()
    use = SinkContext(STREAM, {"kafka": section(tmp_path, compression="none")})
    sink = open_sink(f"kafka://{broker.address}/{topic}", use)
    broker.set(topic, "max.message.bytes", "1100")
    sink.add(events(1)[0])
    with pytest.raises(SinkError, match=r"not taken: .*too large; it is kept in .*table refused"):
        sink.flush()
    sink.close()
    assert [(each.events, each.refused) for each in leftovers(tmp_path / "spool")] == [(0, 1)]
    broker.set(topic, "max.message.bytes", "100000")
    again = open_sink(f"kafka://{broker.address}/{topic}", use)
    again.add(events(1, 1)[0])
    again.flush()
    again.close()
    assert received(broker.read(topic, 1)) == ids(events(1, 1))


def test_a_broker_that_stays_away_leaves_events_in_the_spool(tmp_path: Path) -> None:
    notices: list[str] = []
    options = section(tmp_path, start_without_broker=True, connect_seconds=0.3, flush_seconds=0.3)
    url = f"kafka://127.0.0.1:{free_port()}/scenes"
    sink = open_sink(url, SinkContext(STREAM, {"kafka": options}, notices.append))
    assert isinstance(sink, KafkaSink)
    assert "Connection refused; events wait in" in notices[0]
    for event in events(3):
        sink.add(event)
    with pytest.raises(
        SinkError, match=r"3 events not delivered in 0.3 s \(.*refused\); they wait in .*\.spool"
    ):
        sink.flush()
    sink.close()
    (left,) = leftovers(spool_folder(options))
    assert (left.stream, left.target, left.events) == (STREAM, url, 3)


def add_all(sink: Sink, events: Iterable[CloudEvent]) -> None:
    for event in events:
        sink.add(event)


def test_a_full_spool_while_the_broker_is_away(tmp_path: Path) -> None:
    away = {"start_without_broker": True, "connect_seconds": 0.2, "flush_seconds": 0.1}
    small = away | {"spool_bytes": 6000, "spool_seconds": 0.05}
    url = f"kafka://127.0.0.1:{free_port()}/scenes"
    waiting = open_sink(url, SinkContext(STREAM, {"kafka": section(tmp_path, **small)}))
    first, second, *rest = events(10)
    waiting.add(first)
    waiting.add(second)
    with pytest.raises(SinkError, match=r"spool full: [2-9] events"):
        add_all(waiting, rest)
    waiting.close()
    assert leftovers(tmp_path / "spool")[0].size <= 6000

    notices: list[str] = []
    options = section(tmp_path, **small | {"spool_full": "drop-oldest"})
    dropping = open_sink(url, SinkContext("other", {"kafka": options}, notices.append))
    assert isinstance(dropping, KafkaSink)
    for event in events(100, stream="other"):
        dropping.add(event)
    state = dropping.state
    assert (state.taken, state.dropped + state.waiting) == (100, 100)
    assert state.dropped == sum("spool full; the oldest" in notice for notice in notices) > 0
    assert state.waiting_bytes <= 6000
    dropping.close()


def test_two_runs_of_one_stream_do_not_mix(broker: Broker, tmp_path: Path) -> None:
    url = f"kafka://{broker.address}/{broker.topic()}"
    use = SinkContext(STREAM, {"kafka": section(tmp_path)})
    first = open_sink(url, use)
    with pytest.raises(SinkError, match="in use by another process"):
        open_sink(url, use)
    first.close()
    open_sink(url, use).close()


def test_too_few_replicas(broker: Broker, tmp_path: Path) -> None:
    own = dict(
        line.split("=", 1)
        for line in (broker.data / "server.properties").read_text().splitlines()
        if "=" in line
    )
    meta = (broker.data / "log" / "meta.properties").read_text().splitlines()
    cluster = next(line.partition("=")[2] for line in meta if line.startswith("cluster.id="))
    extra = tmp_path / "second.properties"
    extra.write_text(
        "process.roles=broker\nnode.id=2\nlisteners=PLAINTEXT://127.0.0.1:@CLIENT@\n"
        f"controller.quorum.voters={own['controller.quorum.voters']}\n"
    )
    second = broker.data.parent / "second"
    words = ("--data", second, "--properties", extra, "--cluster", cluster)
    script("start", *words)
    try:
        topic = broker.topic(replicas=(1, 2), min_insync_replicas="2")
        options = section(tmp_path, flush_seconds=1.5)
        url = f"kafka://{broker.address}/{topic}"
        sink = open_sink(url, SinkContext(STREAM, {"kafka": options}))
        sink.add(events(1)[0])
        assert isinstance(sink, KafkaSink)
        sink._spool.wait_empty(60.0)
    finally:
        script("stop", "--data", second)
    sink.add(events(1, 1)[0])
    with pytest.raises(SinkError, match=r"too few replicas: 1 in sync, .*min.insync.replicas is 2"):
        sink.flush()
    sink.close()
    assert "too few replicas" in refused(url, options)
    broker.set(topic, "min.insync.replicas", "1")
    again = open_sink(url, SinkContext(STREAM, {"kafka": section(tmp_path)}))
    again.flush()
    again.close()
    assert received(broker.read(topic, 2)) == ids(events(2))
