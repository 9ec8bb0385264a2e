"""Where events live in Kafka, as a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from streamer.errors import SinkError

SCHEMES: Final = {"kafka": False, "kafkas": True}
_PORT: Final = 9092
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SERVER: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A topic and how to find its brokers.

    Attributes:
        servers: ``HOST:PORT``, at least one; the others are learnt from it.
        topic: The topic's name.
        tls: Whether the connection is encrypted.
    """

    servers: tuple[str, ...]
    topic: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> KafkaAddress:
        """Reads ``kafka://HOST:PORT[,HOST:PORT]/TOPIC``; ``kafkas://`` with TLS.

        Args:
            url: Without user and password: those belong into the section ``[kafka]``. A port
                that is left out is 9092.

        Raises:
            SinkError: It is not such a URL; the message never holds a password.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise SinkError("a Kafka URL is kafka://HOST:PORT[,HOST:PORT]/TOPIC") from error
        shape = f"{parts.scheme}://HOST:PORT[,HOST:PORT]/TOPIC"
        if parts.scheme not in SCHEMES:
            raise SinkError("a Kafka URL is kafka://HOST:PORT[,HOST:PORT]/TOPIC, or kafkas://…")
        if "@" in parts.netloc:
            raise SinkError(
                f"{parts.scheme}: URL with a login; set username and password in [kafka] instead"
            )
        if parts.query or parts.fragment:
            raise SinkError(f"a Kafka URL is {shape} and nothing more; options are in [kafka]")
        servers = tuple(_server(text, shape) for text in parts.netloc.split(","))
        topic = parts.path.removeprefix("/")
        if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
            raise SinkError(
                f"a Kafka URL is {shape}; a topic has 1 to 249 characters of A-Z a-z 0-9 . _ -"
            )
        return cls(servers, topic, SCHEMES[parts.scheme])

    def __str__(self) -> str:
        """The URL."""
        return f"{'kafkas' if self.tls else 'kafka'}://{','.join(self.servers)}/{self.topic}"


def _server(text: str, shape: str) -> str:
    found = _SERVER.fullmatch(text)
    port = int(found["port"] or _PORT) if found else 0
    if found is None or not 0 < port < 1 << 16:
        raise SinkError(f"a Kafka URL is {shape}")
    return f"{found['host']}:{port}"
