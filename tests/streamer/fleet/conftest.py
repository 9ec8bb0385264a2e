"""A fleet on the real broker: worker processes, synthetic shots, and all events that came out."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from models.checkpoint import save_moae
from streamer.config.sections import FleetSection, KafkaSection
from streamer.fleet.record import ShotRecord, encode
from streamer.fleet.topics import TopicMaker, Topics
from tests.kafka import PATIENCE, Broker, free_port, silent
from tests.models.toy import toy_model
from tests.streamer.fleet.expectation import expected

SESSION = 6.0
# A worker on a busy machine takes its time to start.
WAIT = 200.0
PARTITIONS = 4


class Fleet:
    """Topics of its own, and workers that end with the test."""

    def __init__(self, broker: Broker, folder: Path, checkpoint: Path) -> None:
        self.broker, self.folder, self.checkpoint = broker, folder, checkpoint
        self.prefix = f"f{free_port()}-{time.monotonic_ns() % 10**6}"
        section = FleetSection(
            broker=f"kafka://{broker.address}",
            prefix=self.prefix,
            group=self.prefix,
            partitions=PARTITIONS,
        )
        self.topics: Topics = TopicMaker(section, KafkaSection()).make()
        self.children: list[subprocess.Popen[bytes]] = []
        self._producer = Producer(
            {"bootstrap.servers": broker.address, "partitioner": "murmur2_random"}, logger=silent()
        )

    def config(self, **changes: str) -> Path:
        lines = {
            "segment": {"checkpoint": f'"{changes.get("checkpoint", self.checkpoint)}"'},
            "source": {"realtime": changes.get("realtime", "false")},
            "output": {"emit": '["boundaries", "shots", "scenes"]'},
            "kafka": {"session_seconds": str(SESSION)},
            "fleet": {
                "broker": f'"kafka://{self.broker.address}"',
                "prefix": f'"{self.prefix}"',
                "group": f'"{changes.get("group", self.prefix)}"',
                "partitions": str(PARTITIONS),
                "snapshot_shots": "3",
            },
        }
        lines["segment"]["threshold"] = "0.0"
        path = self.folder / f"{len(list(self.folder.iterdir()))}.toml"
        path.write_text(
            "\n".join(
                f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in section.items())
                for name, section in lines.items()
            )
        )
        return path

    def worker(
        self,
        only: str | None = "segment",
        lossy: tuple[str, int, int] | None = None,
        **changes: str,
    ) -> Worker:
        command = ["-m", "streamer"]
        if lossy is not None:
            program = Path(__file__).with_name("lossy.py")
            command = [str(program), *map(str, lossy), "streamer"]
        errors = self.folder / f"worker-{len(self.children)}.log"
        port = free_port()
        options = ["--config", str(self.config(**changes)), "--listen", str(port)]
        options += [] if only is None else ["--only", only]
        with errors.open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, *command, "worker", *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
            )
        self.children.append(child)
        return Worker(child, errors, port)

    def produce(self, records: list[ShotRecord]) -> None:
        for record in records:
            self._producer.produce(self.topics.shots, encode(record), record.stream)
        assert self._producer.flush(PATIENCE) == 0

    def produce_raw(self, key: bytes | None, value: bytes | None, partition: int) -> None:
        self._producer.produce(self.topics.shots, value, key, partition)
        assert self._producer.flush(PATIENCE) == 0

    def wanted(self, streams: list[list[ShotRecord]]) -> set[str]:
        return {event for stream in streams for event in expected(stream)}

    def read(self, topic: str) -> Iterator[Message]:
        """Everything in a topic, then whatever comes; ends when nothing came for a while."""
        consumer = Consumer(
            {"bootstrap.servers": self.broker.address, "group.id": "unused"}, logger=silent()
        )
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
            heard = time.monotonic()
            while time.monotonic() - heard < WAIT:
                message = consumer.poll(1.0)
                if message is not None and message.error() is None:
                    heard = time.monotonic()
                    yield message
                elif all(child.poll() is not None for child in self.children):
                    return
        finally:
            consumer.close()

    def ids(self, enough: int) -> list[str]:
        """Ids in the order of arrival, until there are so many different ones."""
        found: list[str] = []
        with contextlib.closing(self.read(self.topics.boundaries)) as messages:
            for message in messages:
                found.append(dict(message.headers() or [])["ce_id"].decode())
                if len(set(found)) >= enough:
                    break
        return found

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.wait(PATIENCE)


class Worker:
    """A process of ``streamer worker``."""

    def __init__(self, child: subprocess.Popen[bytes], errors: Path, port: int) -> None:
        self.child, self._errors, self.port = child, errors, port

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(PATIENCE)

    def stop(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fleet") / "toy.safetensors"
    save_moae(toy_model(), path)
    return path


@pytest.fixture
def fleet(broker: Broker, tmp_path: Path, checkpoint: Path) -> Iterator[Fleet]:
    started = Fleet(broker, tmp_path, checkpoint)
    yield started
    started.close()
