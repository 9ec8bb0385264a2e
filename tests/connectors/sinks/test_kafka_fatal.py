"""A producer that lost its sequence for good is made anew, and nothing is lost or twice.

The error is raised by librdkafka's own hook for tests, `rd_kafka_test_fatal_error`.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, Producer

from streamer.config.sections import KafkaSection
from streamer.connectors.kafka import sender
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.sinks.registry import open_sink
from streamer.errors import FleetError
from streamer.fleet.outbox import Outbox
from streamer.fleet.topics import Topics
from streamer.plugins import SinkContext
from tests.connectors.sinks.test_kafka import STREAM, events, ids, received

if TYPE_CHECKING:
    from tests.kafka import Broker

SITE = Path(confluent_kafka.__file__).parents[1]
LIBRARY = ctypes.CDLL(str(next(SITE.glob("confluent_kafka.libs/librdkafka*"))))
LIBRARY.rd_kafka_test_fatal_error.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
REASON = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER


def break_for_good(producer: Producer) -> None:
    # The handle is the first field behind Python's header of an object.
    handle = ctypes.c_void_p.from_address(id(producer) + 16).value
    assert LIBRARY.rd_kafka_test_fatal_error(handle, REASON, b"a test") == 0


@contextmanager
def silent(broker: Broker) -> Iterator[None]:
    """The broker answers nobody, so that what is sent stays in flight."""
    process = int((broker.data / "kafka.pid").read_text())
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize("flying", [1, 20, 200])
def test_a_new_producer_goes_on(
    broker: Broker, tmp_path: Path, flying: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Producer] = []

    def make(settings: dict[str, object]) -> Producer:
        made.append(Producer(settings))
        return made[-1]

    monkeypatch.setattr(sender, "Producer", make)
    topic = broker.topic()
    notices: list[str] = []
    options = KafkaSection(spool=tmp_path / "spool", flush_seconds=30.0)
    sink = open_sink(
        f"kafka://{broker.address}/{topic}", SinkContext(STREAM, {"kafka": options}, notices.append)
    )
    sink.add(events(1)[0])
    sink.flush()
    with silent(broker):
        for event in events(flying, 1):
            sink.add(event)
        break_for_good(made[-1])
    sink.flush()
    sink.close()
    assert len(made) == 2
    assert [notice for notice in notices if "a new producer goes on" in notice]
    assert list(dict.fromkeys(received(broker.read(topic)))) == ids(events(flying + 1))


def test_an_outbox_says_that_it_cannot_go_on(broker: Broker) -> None:
    topics = Topics(broker.topic(), "g")
    broker.make(topics.shots)
    address = KafkaAddress.parse(f"kafka://{broker.address}/{topics.shots}")
    outbox = Outbox(address, KafkaSection(), topics)
    outbox.shot("a", b"first")
    outbox.flush(30.0)
    with silent(broker):
        outbox.shot("a", b"second")
        break_for_good(outbox._producer)
        with pytest.raises(FleetError, match="the producer cannot go on"):
            outbox.flush(30.0)
        outbox.close()
