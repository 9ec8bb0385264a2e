"""Many streams in real time, and how soon a lost one is back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from streamer.bench.streams import SETTLE_SECONDS, Stopwatch, follow, make_run, measured, play
from streamer.live.reconnect import SourceFactory
from streamer.pipeline.engine import share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streamer.config.settings import Settings
    from streamer.pipeline.engine import Engine

_ANSWER: Final = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


@dataclass(frozen=True, slots=True)
class LiveCost:
    """Streams side by side in one process.

    Attributes:
        streams: How many.
        seconds: How long.
        lag_p99: 99th percentile of the lag, over all streams and ten times a second.
        lag_most: The largest lag of any stream.
        cpu: Processor seconds a stream and second.
        delays: Of events, seconds from the end of the shot that an event waited for: 50th, 95th
            and 99th percentile.
        events: How many of them.
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
    """Plays a film at the speed of life on several streams that share the networks.

    Args:
        film: Lasts at least as long as the measurement.
        settings: Paced (``source.realtime``), with a threshold of 0: every shot gives an event.
        engine: Loaded networks.
        streams: How many.
        seconds: After which all are stopped.
        settle: Seconds at the beginning whose lag does not count.

    Raises:
        ValueError: The film has too few shots to measure.
    """
    with share(engine, settings.runtime) as shared:
        watches = [Stopwatch(settle=settle) for _ in range(streams)]
        runs = measured(streams, str(film), settings, engine, shared)
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
    """How soon a stream goes on once its server is back.

    Args:
        film: A transport stream.
        settings: Of a live stream.
        engine: Loaded networks.
        outage: Seconds for which nobody listens.
        rounds: Times to measure.

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
    with socket.create_server(("127.0.0.1", port), reuse_port=False) as again:
        up = time.monotonic()
        _send(again, data)
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


def enough(costs: Sequence[LiveCost], lag: float = 1.0) -> int:
    """The largest number of streams whose lag stayed below a bound; 0 when none did."""
    return max((cost.streams for cost in costs if cost.lag_most < lag), default=0)
