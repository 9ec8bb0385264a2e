"""How soon an event leaves after the shot it waits for, in real time."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING

from streamer.bench.streams import Stopwatch, follow, make_run
from streamer.live.reconnect import SourceFactory

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.config.settings import Settings
    from streamer.pipeline.engine import Engine


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds from the end of the awaited shot being due to the event having left.

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
    """Plays a film at the speed of life with every shot's end reported.

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
