"""Settings of librdkafka, and its complaints in words."""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError

from streamer.errors import ConfigError

if TYPE_CHECKING:
    from connectors.kafka.address import KafkaAddress
    from streamer.config.sections import KafkaSection

_KEPT: Final = 32
_NOISE: Final = re.compile(r"^\S+/(?:bootstrap|\d+): |\s*\(after \d+ms in state .*\)$")
_CLOSED: Final = re.compile("Broken pipe|Connection reset|closed by peer")
# What cannot pass by waiting.
_CERTAIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})


class Complaints:
    """The latest that a client said went wrong; errors of one broker among several included."""

    def __init__(self) -> None:
        self._errors: deque[KafkaError] = deque(maxlen=_KEPT)
        self._closed = False
        self.logger = logging.Logger("librdkafka")
        self.logger.addHandler(_Handler(self))

    def note(self, error: KafkaError) -> None:
        """Takes an error; a client's ``error_cb``."""
        self._errors.append(error)

    def hear(self, line: str) -> None:
        """Takes a log line: some causes are told nowhere else."""
        self._closed = self._closed or _CLOSED.search(line) is not None

    def clear(self) -> None:
        """Forgets: there was an answer since."""
        self._errors.clear()
        self._closed = False

    @property
    def certain(self) -> bool:
        """Whether waiting is of no use."""
        return any(error.code() in _CERTAIN for error in self._errors)

    @property
    def fatal(self) -> bool:
        """Whether the client cannot go on and has to be made anew."""
        return any(error.fatal() for error in self._errors)

    @property
    def fatality(self) -> str | None:
        """What the fatal error said."""
        return next((error.str() for error in self._errors if error.fatal()), None)

    def explain(self) -> str | None:
        """The cause in one line for people, the most telling one first; None when unknown."""
        by_code = {error.code(): error.str() for error in self._errors}
        text = {code: _NOISE.sub("", said) for code, said in by_code.items()}
        if said := text.get(KafkaError._AUTHENTICATION):
            return f"login refused: {said}"
        if said := text.get(KafkaError._SSL):
            return f"no TLS connection: {said}"
        said = text.get(KafkaError._TRANSPORT, "")
        if "SSL" in said:
            return f"no TLS connection: {said}; without TLS the address begins with kafka://"
        if said and not _CLOSED.search(said):
            return said
        if self._closed or said:
            return (
                "the broker closes the connection; it may want TLS (kafkas://) or a login "
                "([kafka] sasl_mechanism, username, password)"
            )
        return text.get(KafkaError._RESOLVE)


class _Handler(logging.Handler):
    def __init__(self, complaints: Complaints) -> None:
        super().__init__()
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        self._complaints.hear(record.getMessage())


def client_settings(
    address: KafkaAddress, section: KafkaSection, complaints: Complaints
) -> dict[str, Any]:
    """What producers, consumers and administrators share.

    Args:
        address: Whom to ask.
        section: TLS and login.
        complaints: Takes errors and log lines.

    Returns:
        librdkafka's settings. They hold the passwords: never print them.

    Raises:
        ConfigError: A password would travel in the clear.
    """
    login = section.sasl_mechanism is not None
    if section.sasl_mechanism == "PLAIN" and not address.tls:
        raise ConfigError("kafka.sasl_mechanism = PLAIN sends the password: it needs kafkas://")
    protocol = ("SASL_" if login else "") + ("SSL" if address.tls else "PLAINTEXT")
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(address.servers),
        "client.id": "moae-streamer",
        "security.protocol": protocol,
        "reconnect.backoff.max.ms": 2_000,
        "error_cb": complaints.note,
        "logger": complaints.logger,
    }
    if address.tls:
        settings["ssl.endpoint.identification.algorithm"] = (
            "https" if section.verify_hostname else "none"
        )
        files = {
            "ssl.ca.location": section.ca_file,
            "ssl.certificate.location": section.certificate_file,
            "ssl.key.location": section.key_file,
        }
        settings |= {key: str(path) for key, path in files.items() if path is not None}
        if section.key_password is not None:
            settings["ssl.key.password"] = section.key_password.get_secret_value()
    if section.password is not None:
        settings |= {
            "sasl.mechanism": section.sasl_mechanism,
            "sasl.username": section.username,
            "sasl.password": section.password.get_secret_value(),
        }
    return settings
