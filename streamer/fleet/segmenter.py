"""The segmenting half of a worker: Faust's agent and table around a lane."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka.errors import TopicAuthorizationFailedError

from streamer.connectors.kafka.acl import acl_error
from streamer.errors import CheckpointError, FleetError, StreamerError
from streamer.fleet.app import Takeover, leave, make_app, take_part
from streamer.fleet.log import ShotLog, partition_of
from streamer.fleet.outbox import Outbox
from streamer.fleet.partition import PartitionOptions, PartitionProcessor
from streamer.fleet.record import LogRecord
from streamer.live.delivery import EMITTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import faust

    from streamer.config.settings import Settings
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.errors import ErrorKind
    from streamer.events.ids import EventKind
    from streamer.fleet.counters import FleetCounters
    from streamer.fleet.topics import Topics
    from streamer.fleet.window import Mixture
    from streamer.metrics.metrics import Metrics

T = TypeVar("T")

_IDLE: Final = 0.25
_KEEP_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 10.0


class Segmenter:
    """Owns partitions of the shots while it runs.

    Decoding records, the mixture and waiting for brokers happen on one thread, so that heartbeats,
    which Faust sends from another, never wait for them.

    Args:
        settings: All.
        address: Any topic of the cluster.
        topics: Names.
        mixture: Who decides.
        data: A folder for Faust.
        counters: Told what happened.
        metrics: Served somewhere, or None.
        warn: Takes one line for people.
    """

    def __init__(
        self,
        settings: Settings,
        address: KafkaAddress,
        topics: Topics,
        mixture: Mixture,
        data: Path,
        counters: FleetCounters,
        metrics: Metrics | None,
        warn: Callable[[str], None],
    ) -> None:
        fleet = settings.fleet
        self._settings, self._address, self._topics = fleet, address, topics
        self._counters, self._metrics, self._warn = counters, metrics, warn
        self._note = mixture.model.digest[:16]
        self.app = make_app(topics.segment_group, address, settings.kafka, fleet, data / "segment")
        self._windows = self.app.Table(
            "windows",
            key_type=bytes,
            value_type=bytes,
            partitions=fleet.partitions,
        )
        self._log = ShotLog(address, settings.kafka, topics.positions_group)
        self._out = Outbox(address, settings.kafka, topics)
        kinds: set[EventKind] = {"discontinuity"}
        kinds.update(EMITTED[kind] for kind in settings.output.emit)
        options = PartitionOptions(
            frozenset(kinds),
            fleet.batch,
            fleet.snapshot_shots,
            fleet.rebuild_seconds,
            fleet.delivery_seconds,
        )
        saved = _Table(self._windows, fleet.partitions)
        self._lane = PartitionProcessor(mixture, self._log, self._out, saved, options, counters)
        self._queue: asyncio.Queue[LogRecord] = asyncio.Queue(2 * fleet.batch)
        self._thread = ThreadPoolExecutor(1, "segment")
        self._kept: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._newest: dict[int, float] = {}
        self._heard: dict[int, float] = {}
        self._looked = self._kept_at = time.monotonic()
        self._turn = 0
        self._unsaved: StreamerError | None = None
        self._clock = BrokerClock()
        self.owning = False
        if metrics is not None:
            metrics.watch_client(lambda: self._out.waiting, self._errors)
        self._listen()

    def _errors(self) -> Mapping[ErrorKind, int]:
        return self._out.errors + self._log.errors

    @property
    def partitions(self) -> int:
        """Partitions it owns now."""
        return len(self._lane.positions) if self.owning else 0

    async def run(self) -> None:
        """Works until it is cancelled.

        Raises:
            StreamerError: It cannot go on; windows and positions are as they were delivered.
        """
        pump = asyncio.create_task(self._pump(), name="pump")
        watchdog = asyncio.create_task(self._watch(), name="watchdog")
        client = asyncio.create_task(take_part(self.app), name="client")
        tasks = pump, watchdog, client
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await self._end()

    async def _end(self) -> None:
        if self.owning:
            try:
                await asyncio.wait_for(self._in_thread(self._keep), _STOP_SECONDS)
            except (StreamerError, TimeoutError) as error:
                self._warn(f"positions not stored: {error}")
        await leave(self.app, _STOP_SECONDS, self._warn)
        self._out.close()
        self._thread.shutdown(wait=False)

    def _listen(self) -> None:
        shots = self.app.topic(self._topics.shots, key_type=bytes, value_type=bytes)

        async def segment(stream: faust.types.StreamT[bytes]) -> None:
            async for event in stream.events():
                message = event.message
                await self._queue.put(
                    LogRecord(
                        message.partition,
                        message.offset,
                        message.key,
                        message.value,
                        message.timestamp or 0.0,
                    )
                )

        async def owned(*_: Any, **__: Any) -> None:
            await self._own()

        async def revoked(*_: Any, **__: Any) -> None:
            await self._let_go()

        # Signals hold their receivers weakly.
        self._receivers = (owned, revoked)
        self.app.agent(shots, name="segment")(segment)
        self.app.on_rebalance_complete.connect(owned)
        self.app.on_partitions_revoked.connect(revoked)

    async def _own(self) -> None:
        """Faust has shared the partitions out and has read what tables it could."""
        turn = self._turn
        assignment = self.app.consumer.assignment()
        partitions = sorted(tp.partition for tp in assignment if tp.topic == self._topics.shots)
        positions = await self._in_thread(lambda: self._positions(partitions))
        await self._in_thread(lambda: self._lane.own(positions))
        if turn != self._turn:
            # They were taken away again meanwhile.
            return
        self._kept = {number: at for number, at in self._kept.items() if number in positions}
        self._seen = dict(positions)
        # Time to fetch the first of them.
        self._heard = dict.fromkeys(positions, time.monotonic())
        self.owning = True
        await self._in_thread(partial(self._counters.keep, self._mine))
        if self._metrics is not None:
            self._metrics.fleet.rebalanced()
            self._metrics.fleet.assigned(self._topics.shots, len(partitions))

    def _mine(self, stream: str) -> bool:
        return partition_of(stream.encode(), self._settings.partitions) in self._lane.positions

    def _positions(self, partitions: list[int]) -> dict[int, int]:
        known = self._log.positions(partitions) if partitions else {}
        others = {note for _, note in known.values() if note and note != self._note}
        if others:
            problem = (
                f"partitions were segmented with another checkpoint ({', '.join(sorted(others))}); "
                f"this worker has {self._note}: workers of one group need the same"
            )
            self._warn(problem)
            if self._metrics is not None:
                self._metrics.error(CheckpointError(problem))
        new = {number: self._log.ends(number)[0] for number in partitions if number not in known}
        # Before there is anything to segment, others may come that differ.
        self._log.keep(new, self._note)
        return {number: at for number, (at, _) in known.items()} | new

    async def _let_go(self) -> None:
        """Partitions go to others: what is under way is finished and its positions stored."""
        self.owning = False
        self._turn += 1
        while not self._queue.empty():
            self._queue.get_nowait()
        await self._in_thread(self._keep)
        if self._metrics is not None:
            for number in self._seen:
                self._metrics.fleet.revoked(self._topics.shots, number)

    async def _pump(self) -> None:
        while True:
            try:
                records = [await asyncio.wait_for(self._queue.get(), _IDLE)]
            except TimeoutError:
                records = []
            while not self._queue.empty() and len(records) < 2 * self._settings.batch:
                records.append(self._queue.get_nowait())
            if records:
                now = time.monotonic()
                for raw in records:
                    self._newest[raw.partition], self._heard[raw.partition] = raw.time, now
                    self._clock.saw(raw.time)
                await self._in_thread(partial(self._lane.process, records))
                await self._save()
            if self.owning:
                await self._housekeeping()

    async def _housekeeping(self) -> None:
        now = time.monotonic()
        if now - self._kept_at >= _KEEP_SECONDS:
            self._kept_at = now
            await self._in_thread(self._keep)
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            await self._in_thread(self._look)
            await self._save()

    async def _save(self) -> None:
        for partition, stream, saved in await self._in_thread(self._lane.to_save):
            if self.owning:
                # As the table's own setter does, for a partition that is known: that one asks the
                # producer, which may not have met the topic yet.
                sent = self._windows.send_changelog(partition, stream.encode(), saved)
                sent.add_done_callback(self._saved)
                self._windows.data[stream.encode()] = saved
        if self._unsaved is not None:
            raise self._unsaved

    def _saved(self, sent: asyncio.Future[Any]) -> None:
        """A window that is not saved is rebuilt by whoever needs it; without the right all are."""
        error = None if sent.cancelled() else sent.exception()
        if isinstance(error, TopicAuthorizationFailedError):
            self._unsaved = FleetError(acl_error("topic", self._topics.windows, ("WRITE",)))
        elif error is not None:
            self._counters.unsaved(f"{type(error).__name__}: {error}")

    def _keep(self) -> None:
        """Stores positions that moved."""
        moved = {
            number: at
            for number, at in self._lane.positions.items()
            if self._kept.get(number) != at
        }
        self._log.keep(moved, self._note)
        self._kept.update(moved)

    def _look(self) -> None:
        """Fetches what nobody brings, and measures the lag."""
        for number, at in self._lane.positions.items():
            _, end = self._log.ends(number)
            quiet = time.monotonic() - self._heard.get(number, 0.0) > _LOOK_SECONDS
            # While Faust brings anything, however old, it will come to the rest.
            if end > at and self._seen.get(number) == at and quiet:
                self._lane.catch_up(number)
            self._seen[number] = self._lane.positions[number]
            behind = end - self._seen[number]
            if self._metrics is not None:
                newest = self._newest.get(number, 0.0)
                age = self._clock.age(newest) if behind > 0 and newest else 0.0
                self._metrics.fleet.lag(self._topics.shots, number, max(0, behind), age)

    async def _watch(self) -> None:
        """Ends a worker that is given partitions and never gets to work."""
        fleet = self._settings
        takeover = Takeover(self.app, fleet.recovery_seconds, fleet.delivery_seconds)
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            takeover.check(owning=self.owning)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class BrokerClock:
    """The brokers' time, as far as it is known; steps of this machine's clock do not move it.

    Args:
        wall: Seconds since the Unix epoch; asked once.
        steady: Monotonic seconds.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steady = steady
        self._ahead = wall() - steady()

    def saw(self, moment: float) -> None:
        """Takes a time that a broker gave to a record: it is not later than now."""
        self._ahead = max(self._ahead, moment - self._steady())

    def age(self, moment: float) -> float:
        """Seconds since a broker gave that time."""
        return max(0.0, self._ahead + self._steady() - moment)


class _Table:
    """What Faust's table holds; `streamer.fleet.partition.Saved`."""

    def __init__(self, table: faust.types.TableT[bytes, bytes], partitions: int) -> None:
        self._table, self._partitions = table, partitions

    def get(self, stream: str, /) -> bytes | None:
        found = self._table.data.get(stream.encode())
        return found if isinstance(found, bytes) else None

    def streams(self, partition: int) -> list[str]:
        known = [key for key in list(self._table.data) if isinstance(key, bytes)]
        return [key.decode() for key in known if partition_of(key, self._partitions) == partition]
