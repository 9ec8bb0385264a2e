"""Measure live streams in one process: lag, CPU, delay of events, time to reconnect."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from streamer.events.payload import Gap
from streamer.live.delivery import deliver
from streamer.live.reconnect import SourceFactory
from streamer.live.stream import StreamRun
from streamer.pipeline.engine import share
from streamer.pipeline.progress import Delivered, Progress
from streamer.pipeline.segmentation import StreamSegmentation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cloudevents.core.v1.event import CloudEvent

    from streamer.aspects.batching import SharedExtractors
    from streamer.config.settings import Settings
    from streamer.connectors.sources.source import Source
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.progress import Notice

SETTLE_SECONDS: Final = 10.0
"""Length of the beginning, when all streams start at once; its lag does not count."""

_STOP_SECONDS: Final = 30.0
_ANSWER: Final = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


@dataclass(slots=True)
class Stopwatch:
    """Record what happens to one stream; also a sink that accepts every event.

    Attributes:
        name: As a sink.
        settle: Seconds at the beginning in which lags and levels are not kept.
        began: When it was made, on the monotonic clock.
        lags: Seconds behind, up to ten times a second.
        levels: Level of thinning, as often as the lag.
        delays: Of events, seconds from the end of the shot that an event waited for.
        found: Seconds of the boundaries that were reported.
        skipped: Pieces left out, by aspect.
        back: When input continued after a gap, on the monotonic clock.
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
        """Do nothing."""

    def add(self, event: CloudEvent) -> None:
        """Accept the event."""

    def flush(self) -> None:
        """Do nothing: no event is held back."""

    def close(self) -> None:
        """Do nothing."""


def stream_name(number: int) -> str:
    """Return the name of a measured stream."""
    return f"bench-{number}"


def make_run(
    stream: str,
    connect: Callable[[], Source],
    settings: Settings,
    engine: Engine,
) -> StreamRun:
    """Create a stream without starting it."""
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


def make_runs(
    count: int,
    location: str,
    settings: Settings,
    engine: Engine,
    shared: SharedExtractors,
) -> list[StreamRun]:
    """Create streams of one source that share networks, without starting them.

    Args:
        count: How many.
        location: The input of each.
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
        threading.Thread(target=_follow_guarded, args=(*pair, errors), daemon=True)
        for pair in zip(runs, watches, strict=True)
    ]
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - began) < seconds and any(
        thread.is_alive() for thread in threads
    ):
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


def follow(run: StreamRun, watch: Stopwatch) -> None:
    """Run a stream to its end, with a stopwatch as watcher and only sink."""
    deliver(run.events(), [watch], watchers=[watch])


def _follow_guarded(run: StreamRun, watch: Stopwatch, errors: list[Exception]) -> None:
    try:
        follow(run, watch)
    except Exception as error:  # noqa: BLE001  (it crosses to the measuring thread)
        errors.append(error)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, slots=True)
class Delays:
    """Hold delays of events: seconds from the due end of the awaited shot to the event.

    Attributes:
        count: Events.
        p50: Median.
        p95: 95th percentile.
        p99: 99th percentile.
    """

    count: int
    p50: float
    p95: float
    p99: float


def measure_latency(film: Path, settings: Settings, engine: Engine) -> Delays:
    """Play a film in real time, and measure the delay of the event of every shot.

    Args:
        film: A media file; the measurement takes as long as it lasts.
        settings: Must be paced (``source.realtime``), with a threshold of 0.
        engine: Loaded networks.
    """
    watch = Stopwatch()
    connect = SourceFactory(str(film), settings.source)
    follow(make_run("bench", connect, settings, engine), watch)
    if len(watch.delays) < 2:
        raise ValueError("too few shots to measure")
    cuts = quantiles(watch.delays, n=100, method="inclusive")
    return Delays(len(watch.delays), cuts[49], cuts[94], cuts[98])


@dataclass(frozen=True, slots=True)
class LiveCost:
    """Hold the cost of concurrent streams in one process.

    Attributes:
        streams: Number of streams.
        seconds: Length of the measurement.
        lag_p99: 99th percentile of the lag, over all streams and ten times a second.
        lag_most: The largest lag of any stream.
        cpu: Processor seconds a stream and second.
        delays: Of events, seconds from the end of the shot that an event waited for: 50th, 95th
            and 99th percentile.
        events: Number of events.
    """

    streams: int
    seconds: float
    lag_p99: float
    lag_most: float
    cpu: float
    delays: tuple[float, float, float]
    events: int


def measure_streams(
    film: Path,
    settings: Settings,
    engine: Engine,
    streams: int,
    seconds: float,
    *,
    settle: float = SETTLE_SECONDS,
) -> LiveCost:
    """Play a film in real time on several streams that share the networks.

    Args:
        film: Lasts at least as long as the measurement.
        settings: Paced (``source.realtime``), with a threshold of 0: every shot gives an event.
        engine: Loaded networks.
        streams: Number of streams.
        seconds: After which all are stopped.
        settle: Seconds at the beginning whose lag does not count.

    Raises:
        ValueError: The film has too few shots to measure.
    """
    with share(engine, settings.runtime) as shared:
        watches = [Stopwatch(settle=settle) for _ in range(streams)]
        runs = make_runs(streams, str(film), settings, engine, shared)
        cpu, wall = play(runs, watches, seconds)
    delays = [delay for watch in watches for delay in watch.delays]
    lags = [lag for watch in watches for lag in watch.lags]
    if len(delays) < 2 or len(lags) < 2:
        raise ValueError("too few shots to measure")
    cuts = quantiles(delays, n=100, method="inclusive")
    return LiveCost(
        streams,
        wall,
        quantiles(lags, n=100, method="inclusive")[98],
        max(lags),
        cpu / wall / streams,
        (cuts[49], cuts[94], cuts[98]),
        len(delays),
    )


def measure_outage(
    film: Path, settings: Settings, engine: Engine, outage: float, rounds: int
) -> tuple[float, float]:
    """Measure how soon a stream continues once its server is back.

    Args:
        film: A transport stream.
        settings: Of a live stream.
        engine: Loaded networks.
        outage: Seconds without a server.
        rounds: Number of outages.

    Returns:
        Median and largest seconds from the server being back to the new epoch.
    """
    waits = [_outage(film, settings, engine, outage) for _ in range(rounds)]
    return median(waits), max(waits)


def _outage(film: Path, settings: Settings, engine: Engine, outage: float) -> float:
    data = film.read_bytes()
    watch = Stopwatch()
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    connect = SourceFactory(f"http://127.0.0.1:{port}/live", settings.source)
    run = make_run("bench", connect, settings, engine)
    thread = threading.Thread(target=follow, args=(run, watch), daemon=True)
    thread.start()
    with server:
        _send(server, data[: len(data) // 2 // 188 * 188])
    time.sleep(outage)
    with socket.create_server(("127.0.0.1", port), reuse_port=False) as restarted:
        up = time.monotonic()
        _send(restarted, data)
    deadline = time.monotonic() + 60.0
    while watch.back is None and time.monotonic() < deadline:
        time.sleep(0.01)
    run.stop()
    thread.join(30.0)
    if watch.back is None:
        raise ValueError("the stream did not come back")
    return watch.back - up


def _send(server: socket.socket, data: bytes) -> None:
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.recv(65536)
        connection.sendall(_ANSWER + data)


def most_streams(costs: Sequence[LiveCost], lag: float = 1.0) -> int:
    """Return the largest number of streams whose lag stayed below a bound; 0 when none did."""
    return max((cost.streams for cost in costs if cost.lag_most < lag), default=0)
