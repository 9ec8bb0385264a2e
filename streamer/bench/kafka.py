"""Measure a segmenting worker on a real broker: shots a second, delay, recovery, bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamer.config.sections import FleetSection, KafkaSection
from streamer.errors import FleetError
from streamer.fleet.record import ShotRecord, encode
from streamer.fleet.topics import TopicMaker
from streamer.models.checkpoint import DEFAULT_CHECKPOINT, read_header
from streamer.pipeline.epoch import Epoch
from streamer.timeline import EmbeddedShot, Shot, Timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from confluent_kafka import KafkaError, Message

    from streamer.fleet.topics import Topics
    from streamer.models.mixture import MoaeConfig

PARTITIONS: Final = 16
TIMEOUT_SECONDS: Final = 300.0
_BASE: Final = Fraction(1, 25)
_FRAMES: Final = 100
_TOKENS: Final = 4
_ADMIN_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 5.0
_TICK: Final = 0.1
_FIRST: Final = 4
"""Number of first shots of a stream that decide no boundary, and so cost less."""


@dataclass(frozen=True, slots=True)
class FleetCost:
    """Hold the measurements.

    Attributes:
        record_bytes: Mean size of a shot's record: four tokens of each aspect.
        shots_a_second: While a backlog was worked off.
        shots_a_cpu_second: The same by the worker's CPU time, its clients' threads included.
        delays: Seconds from producing a shot to the broker having the boundary it decided, at half
            that speed; sorted.
        offered: Shots a second that were produced during the measurement.
        restart_seconds: From starting a killed worker's successor until it owned its partitions.
        recovery_seconds: Until a shot of every stream was decided that came while none ran.
        recovery_cpu: CPU seconds of that.
        streams: How many streams had a window.
        load: Load average of the machine over one minute.
    """

    record_bytes: float
    shots_a_second: float
    shots_a_cpu_second: float
    delays: Sequence[float]
    offered: float
    restart_seconds: float
    recovery_seconds: float
    recovery_cpu: float
    streams: int
    load: float

    def delay(self, share: float) -> float:
        """Return a quantile of the delays.

        Args:
            share: 0 to 1.
        """
        return self.delays[min(len(self.delays) - 1, int(share * len(self.delays)))]


class _Load:
    """Generate encoded shots of many streams with random tokens."""

    def __init__(self, config: MoaeConfig, streams: int) -> None:
        random = np.random.default_rng(0)
        self.names = [f"bench-{number:05d}" for number in range(streams)]
        self._sent = 0
        self._tokens = [
            {
                name: random.standard_normal((_TOKENS, spec.dim)).astype(np.float32)
                for name, spec in config.aspects.items()
            }
            for _ in range(50)
        ]
        networks = {name: spec.network for name, spec in config.aspects.items()}
        self._epoch = Epoch(0, Timestamp(0, _BASE), Fraction(25), networks)

    def next(self) -> tuple[str, int, bytes]:
        """Return stream, index and record of the next shot; streams take turns."""
        turn, which = divmod(self._sent, len(self.names))
        self._sent += 1
        start = turn * _FRAMES
        shot = Shot(turn, Timestamp(start, _BASE), Timestamp(start + _FRAMES, _BASE), "cut")
        tokens = self._tokens[self._sent % len(self._tokens)]
        embedded = EmbeddedShot(shot, tokens, shot.end.seconds, 0.0)
        name = self.names[which]
        return name, turn, encode(ShotRecord(name, "bench", turn, self._epoch, embedded))


class _Worker:
    """Run a worker process and read its metrics."""

    def __init__(self, config: Path, port: int) -> None:
        words = ["worker", "--only", "segment", "--config", str(config), "--listen", str(port)]
        self._url = f"http://127.0.0.1:{port}"
        self.child = subprocess.Popen(  # noqa: S603 # this program
            [sys.executable, "-m", "streamer", *words], stdin=subprocess.DEVNULL
        )

    def shots(self) -> int:
        """Return the number of consumed shots; 0 while the worker does not answer."""
        return int(self._number("streamer_consumer_records_total"))

    def ready(self) -> bool:
        """Return whether the worker owns partitions."""
        return '"ready"' in self._get("/readyz")

    def cpu(self) -> float:
        """Return the CPU seconds of all its threads."""
        return self._number("process_cpu_seconds_total")

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self.child.kill()
        self.child.wait()

    def _number(self, name: str) -> float:
        # All series of a thousand streams, asked for all the time, are half of a worker's work.
        for line in self._get(f"/metrics?name[]={name}").splitlines():
            if line.startswith(name):
                return float(line.rpartition(" ")[2])
        return 0.0

    def _get(self, path: str) -> str:
        if self.child.poll() is not None:
            raise FleetError(f"the worker ended with {self.child.returncode}")
        try:
            with urllib.request.urlopen(self._url + path, timeout=5.0) as answer:  # noqa: S310
                return str(answer.read().decode())
        except OSError:
            return ""


def measure_fleet(broker: str, streams: int, backlog: int, seconds: float, port: int) -> FleetCost:
    """Measure one worker, including heartbeats and broker, on temporary topics.

    Args:
        broker: ``kafka://HOST:PORT``.
        streams: With a window each.
        backlog: Shots that wait when the worker starts, without the first ones of every stream.
        seconds: How long shots come at half speed.
        port: Where the worker may serve its metrics.

    Raises:
        FleetError: The worker ends, or does not come to an end.
        SinkError: The broker does not answer.
    """
    name = f"bench-{uuid.uuid4().hex[:8]}"
    section = FleetSection(broker=broker, prefix=name, group=name, partitions=PARTITIONS)
    maker = TopicMaker(section, KafkaSection())
    load = _Load(read_header(DEFAULT_CHECKPOINT).config, streams)
    first = _FIRST * streams
    with tempfile.TemporaryDirectory() as folder, _topics(maker) as (topics, servers):
        producer = Producer(
            {
                "bootstrap.servers": servers,
                "partitioner": "murmur2_random",
                "linger.ms": 2,
                # Else topics that are new would get records twice, out of order or not at all.
                "enable.idempotence": True,
            }
        )
        sizes = [_send(producer, topics.shots, load) for _ in range(first + backlog)]
        _settle(producer)
        config = Path(folder) / "bench.toml"
        config.write_text(_settings(broker, name))
        with _running(config, port) as worker:
            speed, by_cpu = _drain(worker, first, backlog)
            offered = speed / 2
            delays = _paced(producer, servers, topics, load, offered, seconds)
        for _ in range(streams):
            _send(producer, topics.shots, load)
        _settle(producer)
        began = time.monotonic()
        with _running(config, port) as worker:
            _until(worker.ready)
            restart = time.monotonic() - began
            _until(lambda: worker.shots() >= streams)
            recovery, cpu = time.monotonic() - began, worker.cpu()
    mean = sum(sizes) / len(sizes)
    return FleetCost(
        record_bytes=mean,
        shots_a_second=speed,
        shots_a_cpu_second=by_cpu,
        delays=sorted(delays),
        offered=offered,
        restart_seconds=restart,
        recovery_seconds=recovery,
        recovery_cpu=cpu,
        streams=streams,
        load=os.getloadavg()[0],
    )


def _settings(broker: str, name: str) -> str:
    return "\n".join(
        (
            f'[fleet]\nbroker = "{broker}"\nprefix = "{name}"\ngroup = "{name}"',
            f"partitions = {PARTITIONS}",
            "[kafka]\nsession_seconds = 6.0",
            "[segment]\nthreshold = 0.0",
            '[runtime]\nthreads = 1\ndevice = "cpu"',
        )
    )


@contextmanager
def _topics(maker: TopicMaker) -> Iterator[tuple[Topics, str]]:
    """Create temporary topics, and delete them on exit."""
    topics = maker.make()
    servers = ",".join(maker.address(topics.shots).servers)
    try:
        yield topics, servers
    finally:
        admin = AdminClient({"bootstrap.servers": servers})
        there = admin.list_topics(timeout=_ADMIN_SECONDS).topics
        mine = [name for name in there if name.startswith(topics.prefix)]
        for deleted in admin.delete_topics(mine).values():
            deleted.result(_ADMIN_SECONDS)


@contextmanager
def _running(config: Path, port: int) -> Iterator[_Worker]:
    worker = _Worker(config, port)
    try:
        yield worker
    finally:
        worker.kill()


def _send(producer: Producer, topic: str, load: _Load) -> int:
    """Send the next shot, and return the size of its record in bytes."""
    stream, _, value = load.next()
    _produce(producer, topic, stream, value)
    return len(value)


def _produce(producer: Producer, topic: str, stream: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, stream, on_delivery=_delivered)
            break
        except BufferError:
            producer.poll(_TICK)
    producer.poll(0)


def _delivered(error: KafkaError | None, _: Message) -> None:
    if error is not None:
        raise FleetError(f"a shot was not taken: {error.str()}")


def _settle(producer: Producer) -> None:
    """Wait until the broker has acknowledged every record."""
    if left := producer.flush(TIMEOUT_SECONDS):
        raise FleetError(f"{left} shots were not taken within {TIMEOUT_SECONDS:g} s")


def _drain(worker: _Worker, first: int, backlog: int) -> tuple[float, float]:
    """Return shots a second and a CPU second, without the first shots of every stream."""
    _until(lambda: worker.shots() >= first)
    began, before, cpu = time.monotonic(), worker.shots(), worker.cpu()
    _until(lambda: worker.shots() >= first + backlog)
    done = worker.shots() - before
    return done / (time.monotonic() - began), done / max(1e-9, worker.cpu() - cpu)


def _paced(
    producer: Producer,
    servers: str,
    topics: Topics,
    load: _Load,
    offered: float,
    seconds: float,
) -> list[float]:
    """Send shots at a steady rate, and wait for the decisions that follow."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "unused"})
    consumer.assign([TopicPartition(topics.boundaries, n, -1) for n in range(PARTITIONS)])
    while consumer.poll(_TICK) is not None:
        pass
    produced: dict[tuple[str, int], float] = {}
    delays: list[float] = []
    # Encoded before the measurement, which would otherwise share the CPU.
    ready = deque(load.next() for _ in range(int(seconds * offered) + 1))
    began = time.monotonic()
    last_decision = began
    while ready or time.monotonic() - last_decision < _QUIET_SECONDS:
        due = (time.monotonic() - began) * offered
        while ready and len(produced) < due:
            stream, index, value = ready.popleft()
            _produce(producer, topics.shots, stream, value)
            produced[stream, index] = time.time()
        producer.poll(0)
        message = consumer.poll(0.001)
        if message is None or message.error() is not None:
            continue
        last_decision = time.monotonic()
        event = json.loads(message.value() or b"{}")
        waited_for = event["boundary_index"] + event["lookahead_shots"]
        sent = produced.get((event["stream"], waited_for))
        if sent is not None:
            delays.append(message.timestamp()[1] / 1000 - sent)
    consumer.close()
    if not delays:
        raise FleetError("no boundary came")
    return delays


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise FleetError(f"not done within {TIMEOUT_SECONDS:g} s")
        time.sleep(_TICK)
