"""The measurement of many streams measures something."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from streamer.bench import live
from streamer.bench.media import as_broadcast
from streamer.config.sections import ReconnectSection, SegmentSection, SourceSection
from streamer.config.settings import Settings
from tests.streamer.live.conftest import engine, film

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.pipeline.engine import Engine

__all__ = ["engine", "film"]

SEGMENT = SegmentSection(threshold=0.0, lookahead=0)

pytestmark = pytest.mark.network


def test_lag_cpu_and_delays_of_streams_side_by_side(engine: Engine, film: Path) -> None:
    settings = Settings(source=SourceSection(realtime=True), segment=SEGMENT)
    cost = live.measure_streams(film, settings, engine, 2, 6.0, settle=0.0)
    assert cost.streams == 2
    assert cost.seconds >= 6.0
    assert cost.events >= 2
    assert 0 <= cost.lag_p99 <= cost.lag_most
    assert cost.delays[0] <= cost.delays[1] <= cost.delays[2]
    assert cost.cpu > 0
    assert live.most_streams([cost], lag=cost.lag_most + 1) == 2
    assert live.most_streams([cost], lag=cost.lag_most) == 0


def test_an_outage_is_measured_from_when_the_server_is_back(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    settings = Settings(
        segment=SEGMENT, reconnect=ReconnectSection(first_wait_seconds=0.05, max_wait_seconds=0.1)
    )
    fed = as_broadcast(film, tmp_path / "feed.ts")
    outage, rounds = 2.0, 2
    began = time.monotonic()
    usual, most = live.measure_outage(fed, settings, engine, outage, rounds)
    took = time.monotonic() - began
    # Of two, the median is the mean; the outages are time beside what is measured.
    assert 0 < usual <= most
    assert rounds * (usual + outage) < took
