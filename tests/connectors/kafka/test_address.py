"""URLs of topics."""

from __future__ import annotations

import pytest

from streamer.connectors.kafka.address import KafkaAddress
from streamer.errors import SinkError


@pytest.mark.parametrize(
    ("url", "servers", "topic", "tls"),
    [
        ("kafka://localhost:9093/scenes", ("localhost:9093",), "scenes", False),
        ("kafka://one,two:9/a.b-c_D1", ("one:9092", "two:9"), "a.b-c_D1", False),
        ("kafkas://[::1]:9093/scenes", ("[::1]:9093",), "scenes", True),
        ("KAFKA://host/scenes", ("host:9092",), "scenes", False),
    ],
)
def test_addresses(url: str, servers: tuple[str, ...], topic: str, tls: bool) -> None:
    address = KafkaAddress.parse(url)
    assert address == KafkaAddress(servers, topic, tls)
    assert KafkaAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "kafka://localhost",
        "kafka://localhost/",
        "kafka:///scenes",
        "kafka://localhost:0/scenes",
        "kafka://localhost:99999/scenes",
        "kafka://localhost:port/scenes",
        "kafka://one,,two/scenes",
        "kafka://localhost/a/b",
        "kafka://localhost/..",
        "kafka://localhost/scenes?acks=1",
        f"kafka://localhost/{'x' * 250}",
        "kafka://lo cal/scenes",
        "kafka://[::1/scenes",
        "http://localhost/scenes",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(SinkError, match=r"a Kafka URL is kafkas?://HOST:PORT"):
        KafkaAddress.parse(url)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(SinkError, match=r"set username and password in \[kafka\]") as refusal:
        KafkaAddress.parse("kafkas://alice:secret@localhost/scenes")
    assert "secret" not in str(refusal.value)
