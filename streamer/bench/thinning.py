"""Measure thinning: more live feeds than the machine can process in time."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median, quantiles
from typing import TYPE_CHECKING, Final

from streamer.bench.live import (
    SETTLE_SECONDS,
    Stopwatch,
    follow,
    make_run,
    make_runs,
    play,
    stream_name,
)
from streamer.bench.media import serve
from streamer.live.reconnect import SourceFactory
from streamer.pipeline.engine import share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streamer.config.settings import Settings
    from streamer.pipeline.engine import Engine

EASING_SECONDS: Final = 300.0
"""Time limit for a single stream to return to full quality."""

UNDECIDED_SECONDS: Final = 30.0
"""Length of the end, whose boundaries may be undecided and are not compared."""

_SAME: Final = 0.1


@dataclass(frozen=True, slots=True)
class ThinnedCost:
    """Hold the cost of concurrent live feeds in one process, thinned when they lag.

    Attributes:
        streams: Number of streams.
        lag_p50: Median lag, over all streams and ten times a second.
        lag_p99: Its 99th percentile.
        lag_most: Its maximum.
        level: Mean level of thinning.
        level_most: The highest.
        kept: Boundaries reported at full quality that were reported here too, of all streams.
        wanted: Boundaries reported at full quality, of all streams.
        more: Boundaries reported here only.
        eased: Seconds until one stream was at full quality again after the others had ended;
            None when it was not in time.
    """

    streams: int
    lag_p50: float
    lag_p99: float
    lag_most: float
    level: float
    level_most: int
    kept: int
    wanted: int
    more: int
    eased: float | None


def full_quality(film: Path, settings: Settings, engine: Engine) -> list[float]:
    """Return the seconds of the boundaries that are reported without thinning.

    Args:
        film: Read as fast as possible.
        settings: Not paced.
        engine: Loaded networks.
    """
    watch = Stopwatch()
    follow(make_run("whole", SourceFactory(str(film), settings.source), settings, engine), watch)
    return watch.found


def measure_thinning(
    film: Path,
    settings: Settings,
    engine: Engine,
    streams: int,
    seconds: float,
    whole: Sequence[float],
    *,
    settle: float = SETTLE_SECONDS,
    undecided: float = UNDECIDED_SECONDS,
    easing: float = EASING_SECONDS,
) -> ThinnedCost:
    """Play a film to several streams as live feeds, then end all but one.

    Args:
        film: A transport stream that lasts at least ``seconds + easing``.
        settings: Not paced.
        engine: Loaded networks.
        streams: Number of streams.
        seconds: For which all run.
        whole: Result of `full_quality`.
        settle: Seconds at the beginning whose lag and levels do not count.
        undecided: Seconds at the end whose boundaries are not compared.
        easing: Time limit in seconds for the last stream to return to full quality.

    Raises:
        ValueError: There were too few shots or seconds to measure.
    """
    watches = [Stopwatch(settle=settle) for _ in range(streams)]
    with serve(film) as address, share(engine, settings.runtime) as shared:
        runs = make_runs(len(watches), address, settings, engine, shared)
        ended: list[float] = []
        eased: list[float] = []
        counts: list[int] = []

        def ease(passed: float) -> None:
            if passed < seconds:
                return
            if not ended:
                ended.append(passed)
                counts.extend(len(watch.lags) for watch in watches)
                for number, run in enumerate(runs[1:], 1):
                    shared.release(stream_name(number))
                    run.stop()
            elif watches[0].levels and watches[0].levels[-1] == 0 and not eased:
                eased.append(passed - ended[0])
                runs[0].stop()

        play(runs, watches, seconds + easing, ease)
    pairs = list(zip(watches, counts, strict=False))
    lags = [lag for watch, count in pairs for lag in watch.lags[:count]]
    levels = [level for watch, count in pairs for level in watch.levels[:count]]
    if len(lags) < 2:
        raise ValueError("too few seconds to measure")
    wanted = [at for at in whole if at < seconds - undecided]
    found = [[at for at in watch.found if at < seconds - undecided] for watch in watches]
    return ThinnedCost(
        streams,
        median(lags),
        quantiles(lags, n=100, method="inclusive")[98],
        max(lags),
        fmean(levels),
        max(levels),
        sum(_in(at, own) for own in found for at in wanted),
        len(wanted) * streams,
        sum(not _in(at, wanted) for own in found for at in own),
        eased[0] if eased else None,
    )


def _in(at: float, others: Sequence[float]) -> bool:
    return any(abs(at - other) < _SAME for other in others)
