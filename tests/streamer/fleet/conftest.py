"""A fleet on the real broker: worker processes, synthetic shots, and all events that came out."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from streamer.config.sections import FleetSection, KafkaSection
from streamer.fleet.record import ShotRecord, encode
from streamer.fleet.topics import TopicMaker, Topics
from streamer.models.checkpoint import save_moae
from tests.kafka import PATIENCE, Broker, free_port, headers_of, silent
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
        self.workers: list[Worker] = []
        self._producer = broker.producer()

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
                "recovery_seconds": changes.get("recovery_seconds", "60"),
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
        restarts: int = 0,
        **changes: str,
    ) -> Worker:
        """Starts one.

        Args:
            only: One half of the work.
            lossy: Topic and offsets that Faust does not deliver.
            restarts: How often it is started again when it ends by itself, as systemd would.
            changes: Of the configuration.
        """
        command = ["-m", "streamer"]
        if lossy is not None:
            program = Path(__file__).with_name("lossy.py")
            command = [str(program), *map(str, lossy), "streamer"]
        errors = self.folder / f"worker-{len(self.workers)}.log"
        port = free_port()
        options = ["--config", str(self.config(**changes)), "--listen", str(port)]
        options += [] if only is None else ["--only", only]
        command = [sys.executable, *command, "worker", *options]
        worker = Worker(command, self.folder, errors, port, restarts)
        self.workers.append(worker)
        return worker

    def produce(self, records: list[ShotRecord]) -> None:
        for record in records:
            self._producer.produce(self.topics.shots, encode(record), record.stream)
        assert self._producer.flush(PATIENCE) == 0

    def produce_raw(self, key: bytes | None, value: bytes | None, partition: int) -> None:
        self._producer.produce(self.topics.shots, value, key, partition)
        assert self._producer.flush(PATIENCE) == 0

    def wanted(self, streams: list[list[ShotRecord]]) -> set[str]:
        return {event for stream in streams for event in expected(stream)}

    def read(self, topic: str) -> Generator[Message]:
        """Everything in a topic, then whatever comes; ends when nothing came for a while."""
        consumer = Consumer(
            {"bootstrap.servers": self.broker.address, "group.id": "unused"}, logger=silent()
        )
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
            heard = time.monotonic()
            while time.monotonic() - heard < WAIT:
                living = [worker.lives() for worker in self.workers]
                message = consumer.poll(1.0)
                if message is not None and message.error() is None:
                    heard = time.monotonic()
                    yield message
                elif not any(living):
                    return
        finally:
            consumer.close()

    def ids(self, enough: int) -> list[str]:
        """Ids in the order of arrival, until there are so many different ones."""
        found: list[str] = []
        with contextlib.closing(self.read(self.topics.boundaries)) as messages:
            for message in messages:
                found.append(headers_of(message)["ce_id"])
                if len(set(found)) >= enough:
                    break
        return found

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        # The broker of all tests has a small heap.
        self.broker.forget(self.prefix)


class Worker:
    """A process of ``streamer worker``, and the one that follows it."""

    def __init__(
        self, command: list[str], folder: Path, errors: Path, port: int, restarts: int
    ) -> None:
        self.port = port
        self._command, self._folder, self._errors = command, folder, errors
        self._restarts = restarts
        self.child = self._start()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def lives(self) -> bool:
        """Whether it runs; one that ended by itself is started again, as often as was said."""
        if self.child.poll() is None:
            return True
        if self._restarts == 0:
            return False
        self._restarts -= 1
        self.child = self._start()
        return True

    def kill(self) -> None:
        self._restarts = 0
        self.child.kill()
        self.child.wait(PATIENCE)

    def stop(self) -> int:
        self._restarts = 0
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._errors.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
            )


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
