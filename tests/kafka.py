"""A real Apache Kafka for tests: one broker a session, reached without and with TLS and SASL."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.waiting import until

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
USER, PASSWORD = "alice", "correct horse"
STORE_PASSWORD = "only-for-this-test"

MODULES = "org.apache.kafka.common.security"
SCRAM = f"{MODULES}.scram.ScramLoginModule required;"
PLAIN = f'{MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
PROTOCOLS = {"TLS": "SSL", "LOGIN": "SASL_SSL", "OPEN": "SASL_PLAINTEXT"}


def properties(ports: dict[str, int], store: Path) -> str:
    """Listeners besides the plain one; ``@…@`` are ports that the script chooses."""
    plain = {"PLAINTEXT": "@CLIENT@", "CONTROLLER": "@CONTROLLER@"}
    places = plain | {name: str(ports[name]) for name in PROTOCOLS}
    lines = {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in places.items()),
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}"
            for name, protocol in (dict.fromkeys(plain, "PLAINTEXT") | PROTOCOLS).items()
        ),
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": STORE_PASSWORD,
        "ssl.keystore.type": "PKCS12",
        # Kafka's default: who asks for a topic by name makes it, with one partition.
        "auto.create.topics.enable": "true",
        "group.min.session.timeout.ms": "1000",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
    }
    for name in ("login", "open"):
        lines[f"listener.name.{name}.scram-sha-512.sasl.jaas.config"] = SCRAM
        lines[f"listener.name.{name}.plain.sasl.jaas.config"] = PLAIN
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def silent() -> logging.Logger:
    logger = logging.getLogger("tests.kafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def headers_of(record: Message) -> dict[str, str]:
    """Headers of a record, whose values are text."""
    found: dict[str, str] = {}
    for name, value in dict(record.headers() or ()).items():
        assert isinstance(value, bytes)
        found[name] = value.decode()
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True)
class Node:
    """A broker that this session started.

    Attributes:
        data: Its folder.
        address: ``127.0.0.1:PORT``, plain.
    """

    data: Path
    address: str

    def enroll(self) -> None:
        """Makes the account of the tests."""
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        account = UserScramCredentialUpsertion(USER, mechanism, PASSWORD.encode())
        admin = self.admin()
        for future in admin.alter_user_scram_credentials([account]).values():
            future.result(PATIENCE)

    def stop(self) -> None:
        """Ends the process; topics and events stay."""
        script("stop", "--data", self.data)

    def kill(self) -> None:
        """Ends the process at once, as a crash would."""
        os.kill(int((self.data / "kafka.pid").read_text()), signal.SIGKILL)
        self.stop()

    def again(self) -> None:
        """Starts it at the same place."""
        assert script("start", "--data", self.data).strip() == self.address

    def delete(self) -> None:
        """Ends it for good."""
        self.stop()
        shutil.rmtree(self.data.parent)

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address}, logger=silent())

    def producer(self) -> Producer:
        """Sends to the partitions that the fleet expects, each record once and in order."""
        return Producer(
            {
                "bootstrap.servers": self.address,
                "partitioner": "murmur2_random",
                # A topic that is new refuses records at first: others would overtake them.
                "enable.idempotence": True,
            },
            logger=silent(),
        )

    def forget(self, prefix: str) -> None:
        """Deletes the topics whose names begin so."""
        admin = self.admin()
        there = admin.list_topics(timeout=PATIENCE).topics
        found = [name for name in there if name.startswith(prefix)]
        for deleted in admin.delete_topics(found).values() if found else ():
            deleted.result(PATIENCE)

    def topic(self, partitions: int = 1, replicas: Sequence[int] = (1,), **config: str) -> str:
        """Makes a topic; ``_`` in keys of its settings stands for ``.``."""
        name = f"scenes.test-{uuid.uuid4().hex[:8]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        new = NewTopic(
            name, partitions, replica_assignment=[list(replicas)] * partitions, config=settings
        )
        # Its calls end with it.
        admin = self.admin()
        for future in admin.create_topics([new]).values():
            future.result(PATIENCE)
        return name

    @property
    def topics(self) -> set[str]:
        """Names of those there are."""
        return set(self.admin().list_topics(timeout=PATIENCE).topics)

    def make(self, *topics: str, partitions: int = 1) -> None:
        """Makes topics of these names."""
        admin = self.admin()
        made = admin.create_topics([NewTopic(name, partitions, 1) for name in topics])
        for future in made.values():
            future.result(PATIENCE)

    def set(self, topic: str, key: str, value: str) -> None:
        """Changes a setting of a topic."""
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = self.admin()
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(PATIENCE)
        # The broker applies it to the log a moment later, in the order of its metadata.
        asked = ConfigResource(ResourceType.TOPIC, topic)

        def applied() -> bool:
            found = admin.describe_configs([asked])[asked].result(PATIENCE)
            return bool(found[key].value == value)

        until(applied, f"{key} = {value} for {topic}", seconds=PATIENCE)

    def read(self, topic: str, count: int | None = None, partitions: int = 1) -> list[Message]:
        """Records of a topic, in order within a partition.

        So many are waited for; when None, those of partition 0 that are acknowledged now.
        """
        settings = {
            "bootstrap.servers": self.address,
            "group.id": "unused",
            "enable.auto.commit": False,
        }
        consumer = Consumer(settings, logger=silent())
        try:
            if count is None:
                places = consumer.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE)
                assert places is not None
                count = places[1]
            consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
            found: list[Message] = []
            while len(found) < count:
                record = consumer.poll(PATIENCE)
                assert record is not None, f"{len(found)} of {count} records came"
                if record.error() is None:
                    found.append(record)
            return found
        finally:
            consumer.close()


@dataclass(frozen=True)
class Broker(Node):
    """The broker of most tests.

    Attributes:
        tls: The same with TLS.
        login: With TLS, SCRAM-SHA-512 and PLAIN.
        open: With SASL and without TLS.
        certificate: PEM of the authority that signed the broker's certificate: itself.
    """

    tls: str
    login: str
    open: str
    certificate: Path

    @classmethod
    def start(cls) -> Broker:
        # A short path: it is part of a command line that is looked for.
        folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        store, certificate = folder / "broker.p12", folder / "broker.pem"
        base = ("-keystore", store, "-storepass", STORE_PASSWORD, "-alias", "broker")
        names = ("-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1", "-validity", "2")
        keytool("-genkeypair", *base, "-storetype", "PKCS12", "-keyalg", "EC", *names)
        keytool("-exportcert", "-rfc", *base, "-file", certificate)
        ports = {name: free_port() for name in PROTOCOLS}
        extra = folder / "extra.properties"
        extra.write_text(properties(ports, store))
        data = folder / "data"
        address = script("start", "--data", data, "--properties", extra).strip()
        where = {name.lower(): f"127.0.0.1:{port}" for name, port in ports.items()}
        broker = cls(data, address, certificate=certificate, **where)
        broker.enroll()
        return broker


def keytool(*words: object) -> None:
    program = shutil.which("keytool")
    assert program is not None, "scripts/packages-kafka.txt is not installed"
    command = [program, *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)


def script(*words: object) -> str:
    """Runs ``scripts/kafka`` with this interpreter."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "kafka"), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
