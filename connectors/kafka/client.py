"""Settings of librdkafka, and its errors in words."""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from tenacity import Retrying, retry_if_exception, stop_before_delay, wait_exponential

from streamer.errors import ConfigError, ErrorKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Producer

    from streamer.config.sections import KafkaSection
    from streamer.connectors.kafka.address import KafkaAddress

T = TypeVar("T")

_KEPT: Final = 32
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 3.0
_NOISE: Final = re.compile(r"^\S+/(?:bootstrap|\d+): |\s*\(after \d+ms in state .*\)$")
_CLOSED: Final = re.compile("Broken pipe|Connection reset|closed by peer")
# What brokers say about the certificate of a client, or about having none.
_CERTIFICATE: Final = re.compile("alert .*(?:certificate|unknown ca)")
_FILES: Final = {
    "ssl.ca.location": ("kafka.ca_file", "it holds no certificates"),
    "ssl.certificate.location": ("kafka.certificate_file", "it holds no certificate"),
    "ssl.key.location": (
        "kafka.key_file",
        "it is no key, not the certificate's, or kafka.key_password is not its password",
    ),
}
# What cannot pass by waiting.
_CERTAIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
_RIGHTS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)

UNKNOWN: Final = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
    }
)
"""There is no such topic or partition, or a broker that has just started does not know it yet."""

_PASSING: Final = UNKNOWN | {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.LISTENER_NOT_FOUND,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_CONTROLLER,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}

_KINDS: Final[dict[int, ErrorKind]] = {
    KafkaError._TRANSPORT: "unreachable",
    KafkaError._RESOLVE: "unreachable",
    KafkaError._ALL_BROKERS_DOWN: "unreachable",
    KafkaError._TIMED_OUT: "unreachable",
    KafkaError.REQUEST_TIMED_OUT: "unreachable",
    KafkaError._SSL: "tls",
    KafkaError._AUTHENTICATION: "login",
    KafkaError.NOT_ENOUGH_REPLICAS: "replicas",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "replicas",
    KafkaError.MSG_SIZE_TOO_LARGE: "size",
    KafkaError.INVALID_TIMESTAMP: "clock",
    **dict.fromkeys(_RIGHTS, "rights"),
}


def is_refusal(error: KafkaError) -> bool:
    """Whether a login lacks a right."""
    # A producer that may not begin says so only in words.
    return error.code() in _RIGHTS or "authorization failed" in error.str()


def passing(error: KafkaError) -> bool:
    """Whether brokers that start, or change leaders, give this answer for a while only."""
    return bool(error.retriable()) or error.code() in _PASSING


def ask(
    question: Callable[[], T],
    seconds: float,
    client_errors: ClientErrors,
    may_pass: Callable[[KafkaError], bool] = passing,
) -> T:
    """Ask brokers for metadata, offsets or a change until they answer, with growing pauses.

    Args:
        question: A call of librdkafka that has a time limit of its own.
        seconds: Until when it is asked again.
        client_errors: Of the client that asks; nothing is asked again once they are certain.
        may_pass: Which answers may be others later.

    Raises:
        KafkaException: The latest answer, or one that cannot pass.
        TimeoutError: There was none.
    """

    def again(error: BaseException) -> bool:
        if isinstance(error, KafkaException):
            cause = error.args[0]
            client_errors.counts[error_kind(cause)] += 1
            return not client_errors.certain and may_pass(cause)
        return isinstance(error, TimeoutError) and not client_errors.certain

    return Retrying(
        retry=retry_if_exception(again),
        stop=stop_before_delay(seconds),
        wait=wait_exponential(_FIRST_PAUSE, max=_LONGEST_PAUSE),
        reraise=True,
    )(question)


def error_kind(error: KafkaError) -> ErrorKind:
    """What an error is about."""
    if is_refusal(error):
        return "rights"
    if error.code() == KafkaError._TRANSPORT and "SSL" in error.str():
        return "tls"
    return _KINDS.get(error.code(), "other")


def in_words(error: KafkaError) -> str:
    """What an error says, and what to do where that is known."""
    if error.code() == KafkaError.INVALID_TIMESTAMP:
        return (
            "the clocks of this machine and the broker differ too much; set this one, or the "
            "topic's message.timestamp.type to LogAppendTime"
        )
    return error.str()


def unfit(error: KafkaError) -> str:
    """Why no client could be made, by the setting that is at fault."""
    said = error.str().partition("client: ")[2] or error.str()
    for name, (setting, words) in _FILES.items():
        if name in said:
            why = "it cannot be read" if "system lib" in said else words
            return f"{setting} cannot be used: {why} ({said})"
    return said


class ClientErrors:
    """The latest that a client said went wrong; errors of one broker among several included.

    Attributes:
        logger: Takes a client's log lines.
        certified: Whether the client shows a certificate.
        counts: Errors by their kind, since the beginning.
    """

    def __init__(self) -> None:
        self._errors: deque[KafkaError] = deque(maxlen=_KEPT)
        self._closed = False
        self.certified = False
        self.counts: Counter[ErrorKind] = Counter()
        self.logger = logging.Logger("librdkafka")
        self.logger.addHandler(_Handler(self))

    def note(self, error: KafkaError) -> None:
        """Takes an error; a client's ``error_cb``."""
        self.counts[error_kind(error)] += 1
        self._errors.append(error)

    def poll(self, producer: Producer, seconds: float) -> None:
        """Serves a producer's callbacks; a fatal error is noted.

        The client raises that one here instead of telling it its ``error_cb``.

        Args:
            producer: Whose errors are noted here.
            seconds: To wait for something to serve.

        Raises:
            KafkaException: Any other error.
        """
        try:
            producer.poll(seconds)
        except KafkaException as raised:
            if not raised.args[0].fatal():
                raise
            self.note(raised.args[0])

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
        return any(
            error.code() in _CERTAIN or _CERTIFICATE.search(error.str()) for error in self._errors
        )

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
        if said := next((said for said in text.values() if _CERTIFICATE.search(said)), None):
            if self.certified:
                return f"the broker refuses this client's certificate: {said}"
            return (
                "the broker wants a client's certificate ([kafka] certificate_file, key_file): "
                f"{said}"
            )
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
    def __init__(self, client_errors: ClientErrors) -> None:
        super().__init__()
        self._client_errors = client_errors

    def emit(self, record: logging.LogRecord) -> None:
        self._client_errors.hear(record.getMessage())


def client_settings(
    address: KafkaAddress, section: KafkaSection, client_errors: ClientErrors
) -> dict[str, Any]:
    """What producers, consumers and administrators share.

    Args:
        address: Whom to ask.
        section: TLS and login.
        client_errors: Takes errors and log lines.

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
        "error_cb": client_errors.note,
        "logger": client_errors.logger,
    }
    client_errors.certified = address.tls and section.certificate_file is not None
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
