"""One worker: its halves, its health, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamer.config.listen import parse_listen
from streamer.connectors.kafka.topic import TopicProbe
from streamer.errors import FleetError, StreamerError
from streamer.fleet.counters import FleetCounters
from streamer.fleet.ingester import Ingester
from streamer.fleet.pool import ReaderPool
from streamer.fleet.segmenter import Segmenter
from streamer.fleet.topics import TopicMaker
from streamer.fleet.window import Mixture
from streamer.http.app import make_app
from streamer.http.health import Checks
from streamer.http.server import HttpServer
from streamer.logs import LibraryLogs
from streamer.metrics.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamer.config.sections import KafkaSection
    from streamer.config.settings import Settings
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.fleet.pool import ProcessConfig
    from streamer.fleet.topics import Half
    from streamer.models.mixture import Moae

_BEAT_SECONDS: Final = 1.0
_STILL_SECONDS: Final = 60.0
_END_SECONDS: Final = 60.0
_REST_SECONDS: Final = 5.0

_HALVES: Final[tuple[Half, ...]] = ("ingest", "segment")


class Worker:
    """Takes part in the fleet until it is stopped.

    Args:
        settings: All.
        only: One half of the work; None for both.
        model: Loads the mixture, when segmenting.
        orders: What the processes that read streams are told.
        warn: Takes one line for people, from any thread.
        allow: Told again and again how long the process may go on without saying so, and why it
            should not; `streamer.fleet.watchdog.Watchdog.allow`.
    """

    def __init__(
        self,
        settings: Settings,
        only: Half | None,
        model: Callable[[], Moae],
        orders: ProcessConfig,
        warn: Callable[[str], None],
        allow: Callable[[float, str], None],
    ) -> None:
        self._settings, self._only, self._model = settings, only, model
        self._orders, self._warn, self._allow = orders, warn, allow
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Runs until SIGINT or SIGTERM.

        Raises:
            StreamerError: It cannot go on; whoever supervises it starts it again.
        """
        settings, loop = self._settings, asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        with ExitStack() as stack:
            # Why a group cannot be joined, only its client's log says.
            stack.enter_context(LibraryLogs(self._warn, debug=settings.logging.debug))
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamer-")))
            await self._work(data, stack)

    async def _work(self, data: Path, stack: ExitStack) -> None:
        settings = self._settings
        maker = TopicMaker(settings.fleet, settings.kafka)
        topics = await asyncio.to_thread(maker.make)
        halves: tuple[Half, ...] = _HALVES if self._only is None else (self._only,)
        await asyncio.to_thread(maker.check, *halves)
        address = maker.address(topics.shots)
        for topic in (topics.boundaries, topics.shots):
            await asyncio.to_thread(_enough_replicas, maker.address(topic), settings.kafka)
        metrics, checks = self._serve(stack)
        # Not ready while the networks are loaded.
        working: dict[Half, Segmenter | Ingester] = {}
        for half in halves:
            checks.add(half, partial(_idle, working, half))
        tasks: list[asyncio.Task[None]] = []
        if self._only != "ingest":
            model = await asyncio.to_thread(self._model)
            counters = FleetCounters(topics.shots, metrics, self._warn)
            mixture = Mixture(model, settings.segment)
            segmenter = Segmenter(
                settings, address, topics, mixture, data, counters, metrics, self._warn
            )
            working["segment"] = segmenter
            tasks.append(asyncio.create_task(segmenter.run(), name="segment"))
        if self._only != "segment":
            streams = replace(address, topic=topics.streams)
            pool = ReaderPool(self._orders)
            ingester = Ingester(settings, streams, topics, pool, data, metrics, self._warn)
            working["ingest"] = ingester
            tasks.append(asyncio.create_task(ingester.run(), name="ingest"))
        stop = asyncio.create_task(self._stopping.wait())
        beat = asyncio.create_task(self._beat())
        reason = "the worker did not come to its end by itself"
        try:
            done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except StreamerError as error:
            metrics.error(error)
            reason = str(error)
            raise
        finally:
            beat.cancel()
            self._allow(_END_SECONDS, reason)
            for task in (stop, *tasks):
                task.cancel()
            await asyncio.gather(stop, beat, *tasks, return_exceptions=True)
            # What is left are Faust's tasks and threads, some of which may never end.
            self._allow(_REST_SECONDS, reason)

    async def _beat(self) -> None:
        """Says that the loop runs."""
        while True:
            self._allow(_STILL_SECONDS, f"the worker stood still for {_STILL_SECONDS:g} s")
            await asyncio.sleep(_BEAT_SECONDS)

    def _serve(self, stack: ExitStack) -> tuple[Metrics, Checks]:
        metrics, checks = Metrics(), Checks()
        if self._settings.http.listen is not None:
            listen = parse_listen(self._settings.http.listen)
            stack.enter_context(HttpServer(lambda: make_app(metrics, checks), listen))
        return metrics, checks


def _idle(working: Mapping[Half, Segmenter | Ingester], half: Half) -> str | None:
    """Why a half does not work; None when it does."""
    found = working.get(half)
    if found is None:
        return "starting"
    return None if found.owning else "no partitions yet"


def _enough_replicas(address: KafkaAddress, section: KafkaSection) -> None:
    """Looks before work begins whether the brokers would take its results."""
    facts = TopicProbe(address, section).look()
    if facts.problem is not None:
        raise FleetError(f"{address}: {facts.problem}")
