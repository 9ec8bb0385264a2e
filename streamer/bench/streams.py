"""Several streams at once in one process, watched while they run."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from streamer.events.payload import Gap
from streamer.live.delivery import deliver
from streamer.live.reconnect import SourceFactory
from streamer.live.stream import StreamRun
from streamer.pipeline.progress import Delivered, Progress
from streamer.pipeline.segmentation import StreamSegmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudevents.core.v1.event import CloudEvent

    from streamer.aspects.batching import SharedExtractors
    from streamer.config.settings import Settings
    from streamer.connectors.sources.source import Source
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.progress import Notice

SETTLE_SECONDS: Final = 10.0
"""At the beginning, when all streams start at once; lag in it does not count."""

_STOP_SECONDS: Final = 30.0


@dataclass(slots=True)
class Stopwatch:
    """Keeps what happens to one stream; also a sink that takes everything.

    Attributes:
        name: As a sink.
        settle: Seconds at the beginning in which lags and levels are not kept.
        began: When it was made, on the monotonic clock.
        lags: Seconds behind, up to ten times a second.
        levels: How far aspects are thinned, as often.
        delays: Of events, seconds from the end of the shot that an event waited for.
        found: Seconds of the boundaries that were reported.
        skipped: Pieces left out, by aspect.
        back: When input went on behind a gap.
    """

    name: str = "nowhere"
    settle: float = SETTLE_SECONDS
    began: float = field(default_factory=time.monotonic)
    lags: list[float] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    skipped: Mapping[str, int] = field(default_factory=dict)
    back: float | None = None

    def __call__(self, event: EventData | Notice) -> None:
        """Take an event or notice of the stream."""
        match event:
            case Progress():
                self.skipped = event.skipped
                if time.monotonic() - self.began > self.settle:
                    self.lags.append(event.lag)
                    self.levels.append(event.thinning)
            case Delivered(boundary, delay):
                self.found.append(boundary.seconds)
                if delay is not None:
                    self.delays.append(delay)
            case Gap():
                self.back = time.monotonic()

    def open(self) -> None:
        """Nothing to open."""

    def add(self, event: CloudEvent) -> None:
        """The event has left."""

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to close."""


def stream_name(number: int) -> str:
    """What the networks know a measured stream by."""
    return f"bench-{number}"


def make_run(
    stream: str,
    connect: Callable[[], Source],
    settings: Settings,
    engine: Engine,
) -> StreamRun:
    """Make a stream of a source, not started."""
    return StreamRun(
        stream,
        connect,
        settings,
        StreamSegmentation(
            stream,
            engine.model,
            threshold=settings.segment.threshold,
            lookahead=settings.segment.lookahead,
        ),
        extractors=engine.extractors,
        shot_network=engine.shot_network,
    )


def measured(
    count: int,
    location: str,
    settings: Settings,
    engine: Engine,
    shared: SharedExtractors,
) -> list[StreamRun]:
    """Make streams of one source that share networks; not started.

    Args:
        count: How many.
        location: What every one of them reads.
        settings: Of all.
        engine: Loaded networks.
        shared: The same networks, for many streams at once.
    """
    return [
        make_run(
            stream_name(number),
            SourceFactory(location, settings.source),
            settings,
            replace(engine, extractors=shared.views(stream_name(number))),
        )
        for number in range(count)
    ]


def play(
    runs: Sequence[StreamRun],
    watches: Sequence[Stopwatch],
    seconds: float,
    also: Callable[[float], None] | None = None,
) -> tuple[float, float]:
    """Run streams on a thread each, and stop those that have not ended in time.

    Args:
        runs: Not started yet.
        watches: Watcher and only sink of each stream.
        seconds: After which all are stopped.
        also: Called ten times a second with the seconds since the beginning.

    Returns:
        CPU seconds of this process, and seconds on the wall.

    Raises:
        Exception: The first that ended a stream.
    """
    errors: list[Exception] = []
    before, began = _cpu(), time.monotonic()
    threads = [
        threading.Thread(target=_guarded, args=(*pair, errors), daemon=True)
        for pair in zip(runs, watches, strict=True)
    ]
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - began) < seconds and any(map(_lives, threads)):
        if also is not None:
            also(passed)
        time.sleep(0.1)
    cpu, wall = _cpu() - before, time.monotonic() - began
    for run in runs:
        run.stop()
    for thread in threads:
        thread.join(_STOP_SECONDS)
    if errors:
        raise errors[0]
    return cpu, wall


def _lives(thread: threading.Thread) -> bool:
    return thread.is_alive()


def follow(run: StreamRun, watch: Stopwatch) -> None:
    """Run a stream to its end, with a stopwatch as watcher and only sink."""
    deliver(run.events(), [watch], watchers=[watch])


def _guarded(run: StreamRun, watch: Stopwatch, errors: list[Exception]) -> None:
    try:
        follow(run, watch)
    except Exception as error:  # noqa: BLE001  (it crosses to the measuring thread)
        errors.append(error)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
