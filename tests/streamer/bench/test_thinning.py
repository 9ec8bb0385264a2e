"""The measurement of feeds that are thinned feeds them as live, and compares what they find."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest

from streamer.bench import thinning
from streamer.bench.media import schedule, serve
from streamer.config.sections import ReconnectSection, SegmentSection, ThinningSection
from streamer.config.settings import Settings
from tests.streamer.live.conftest import engine, film

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.pipeline.engine import Engine

__all__ = ["engine", "film"]

# The feed ends when the film does, and is not there a second time within these seconds.
SETTINGS = Settings(
    segment=SegmentSection(threshold=0.0, lookahead=0),
    reconnect=ReconnectSection(first_wait_seconds=30.0, max_wait_seconds=30.0),
)

pytestmark = pytest.mark.network


def test_a_feed_is_the_file_at_the_speed_of_life(film: Path) -> None:
    due = schedule(film)
    assert due[0][0] == 0
    assert due == sorted(due)
    assert due[-1][0] == pytest.approx(14.36, abs=0.1)
    assert due[-1][1] == film.stat().st_size
    with serve(film) as address, urllib.request.urlopen(address) as answer:
        first = next(until for at, until in due if at > 0.1)
        assert answer.read(first) == film.read_bytes()[:first]


def test_what_is_found_live_is_compared_with_full_quality(engine: Engine, film: Path) -> None:
    whole = thinning.full_quality(film, SETTINGS, engine)
    assert len(whole) >= 9
    cost = thinning.measure_thinning(
        film, SETTINGS, engine, 2, 9.0, whole, settle=0.0, undecided=4.0
    )
    assert cost.streams == 2
    assert 0 <= cost.lag_p50 <= cost.lag_p99 <= cost.lag_most
    assert cost.kept == cost.wanted == 2 * sum(at < 5.0 for at in whole) > 0
    assert (cost.more, cost.level, cost.level_most) == (0, 0, 0)
    assert cost.eased is not None


def test_what_thinning_does_shows(engine: Engine, film: Path) -> None:
    hasty = SETTINGS.model_copy(
        update={"thinning": ThinningSection(raise_lag=1e-6, lower_lag=1e-7, raise_seconds=0.05)}
    )
    cost = thinning.measure_thinning(film, hasty, engine, 1, 8.0, [1.0], settle=0.0, easing=0.5)
    assert cost.level > 0
    assert cost.level_most > 4
    assert cost.wanted == 0
    assert cost.eased is None
