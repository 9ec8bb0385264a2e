"""The reading half of a worker: the streams of the partitions it owns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from streamer.errors import FleetError
from streamer.fleet.app import Takeover, leave, make_app, take_part
from streamer.fleet.log import ShotLog, partition_of
from streamer.fleet.request import read_request
from streamer.fleet.supervisor import StreamSupervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import faust

    from streamer.config.settings import Settings
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.fleet.pool import ReaderPool
    from streamer.fleet.request import StreamRequest
    from streamer.fleet.topics import Topics
    from streamer.metrics.metrics import Metrics

_LOOK_SECONDS: Final = 5.0
_TICK_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 20.0


class Ingester:
    """Reads the streams of its partitions while it runs.

    The topic of requests is small and compacted: it is read whole, by a plain consumer, whenever it
    has grown. Faust says which partitions are this worker's.

    Args:
        settings: All.
        address: The topic of requests.
        topics: Names.
        pool: Where streams are read.
        data: A folder for Faust.
        metrics: Served somewhere, or None.
        warn: Takes one line for people.
    """

    def __init__(
        self,
        settings: Settings,
        address: KafkaAddress,
        topics: Topics,
        pool: ReaderPool,
        data: Path,
        metrics: Metrics | None,
        warn: Callable[[str], None],
    ) -> None:
        self._settings, self._topics, self._pool = settings.fleet, topics, pool
        self._metrics, self._warn = metrics, warn
        self.app = make_app(
            topics.ingest_group, address, settings.kafka, settings.fleet, data / "ingest"
        )
        self._log = ShotLog(address, settings.kafka, topics.ingest_group)
        self._requests: dict[int, dict[str, StreamRequest]] = {}
        self._ends: dict[int, int] = {}
        self._readers: dict[str, StreamSupervisor] = {}
        self._full = False
        self._looking = asyncio.Lock()
        self.owning = False
        self._listen()

    @property
    def streams(self) -> dict[str, bool]:
        """Stream → whether it is read now."""
        return {name: reader.reading for name, reader in self._readers.items()}

    async def run(self) -> None:
        """Works until it is cancelled.

        Raises:
            StreamerError: It cannot go on.
        """
        supervision = asyncio.create_task(self._supervise(), name="supervise")
        client = asyncio.create_task(take_part(self.app), name="client")
        tasks = supervision, client
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await self._pool.close()
            await leave(self.app, _STOP_SECONDS, self._warn)

    def _listen(self) -> None:
        streams = self.app.topic(self._topics.streams, key_type=bytes, value_type=bytes)

        async def ingest(stream: faust.types.StreamT[bytes]) -> None:
            async for _ in stream.events():
                await self._look()

        async def owned(*_: Any, **__: Any) -> None:
            assignment = self.app.consumer.assignment()
            partitions = {tp.partition for tp in assignment if tp.topic == self._topics.streams}
            # Readers of partitions that stay are left in peace.
            self._requests = {
                number: held for number, held in self._requests.items() if number in partitions
            }
            self._ends = {number: self._ends.get(number, 0) for number in partitions}
            self.owning = True
            if self._metrics is not None:
                self._metrics.fleet.rebalanced()
                self._metrics.fleet.assigned(self._topics.streams, len(partitions))
            await self._look()

        self._receivers = (owned,)
        self.app.agent(streams, name="ingest")(ingest)
        self.app.on_rebalance_complete.connect(owned)

    async def _look(self) -> None:
        """Reads requests that are new, and starts and ends readers."""
        async with self._looking:
            for number in list(self._ends):
                start = self._ends[number]
                found, end = await asyncio.to_thread(self._news, number, start)
                if number in self._ends:
                    self._requests.setdefault(number, {}).update(
                        {request.stream: request for request in found.values() if request}
                    )
                    for stream in (name for name, request in found.items() if request is None):
                        self._requests[number].pop(stream, None)
                    self._ends[number] = end
            await self._reconcile()

    def _news(self, number: int, start: int) -> tuple[dict[str, StreamRequest | None], int]:
        _, end = self._log.ends(number)
        found: dict[str, StreamRequest | None] = {}
        for piece in self._log.read(number, start, end) if end > start else ():
            for raw in piece:
                name = (raw.key or b"").decode(errors="replace")
                try:
                    found[name] = read_request(raw)
                except FleetError as error:
                    self._warn(f"{self._topics.streams}: {error}")
        return found, end

    async def _reconcile(self) -> None:
        wanted = {
            name: request for held in self._requests.values() for name, request in held.items()
        }
        await asyncio.gather(
            *(
                self._drop(name, reader, wanted.get(name))
                for name, reader in list(self._readers.items())
                if name not in wanted or wanted[name].run != reader.request.run
            )
        )
        for name, request in sorted(wanted.items()):
            if name in self._readers:
                continue
            full = len(self._readers) >= self._settings.max_streams
            if full and not self._full:
                self._warn(f"{name} and others wait: fleet.max_streams is reached")
            self._full = full
            if full:
                break
            max_streams_per_process = self._settings.streams_per_process
            self._readers[name] = StreamSupervisor(
                request, max_streams_per_process, self._metrics, self._warn
            )

    async def _drop(
        self, name: str, reader: StreamSupervisor, request: StreamRequest | None
    ) -> None:
        del self._readers[name]
        # Removed by somebody, or somebody else's now.
        mine = partition_of(name.encode(), self._settings.partitions) in self._ends
        over = mine and request is None
        await (self._pool.end(reader) if over else self._pool.leave(reader))
        if self._metrics is not None:
            self._metrics.remove(name)

    async def _supervise(self) -> None:
        """Starts readers again that ended, and looks for requests that Faust did not bring."""
        waited = 0.0
        fleet = self._settings
        takeover = Takeover(self.app, fleet.recovery_seconds, fleet.delivery_seconds)
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            takeover.check(owning=self.owning)
            waited += _TICK_SECONDS
            for reader in list(self._readers.values()):
                if reader.due:
                    await self._pool.begin(reader)
            await self._pool.tidy()
            if self.owning and waited >= _LOOK_SECONDS:
                waited = 0.0
                await self._look()
