"""Back-off, lag and what the end of a connection means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer import errors
from streamer.config.sections import ReconnectSection, ThinningSection
from streamer.connectors.sources.source import SourceBase
from streamer.live.degradation import LagMeter, LoadShedder, SlowStage
from streamer.live.reconnect import Backoff, StreamHistory, gap_reason, reconnect_action
from streamer.pipeline.progress import StageTimes

if TYPE_CHECKING:
    from streamer.errors import SourceError

ENDLESS = SourceBase("feed", live=True, endless=True)
FILE = SourceBase("film", live=False, endless=False)


class _Pipe(SourceBase):
    replays = False


class _Served(SourceBase):
    recovers = True


PIPE = _Pipe("-", live=True, endless=False)
OVER = _Pipe("a feed that says that it is over", live=True, endless=False)
SERVED = _Served("http://host/film", live=True, endless=False)


@settings(deadline=None)
@given(st.floats(0.001, 10), st.floats(0.001, 100), st.integers(1, 80))
def test_waits_are_bounded(first: float, most: float, count: int) -> None:
    backoff = Backoff(ReconnectSection(first_wait_seconds=first, max_wait_seconds=most))
    for attempt in range(count):
        wait = backoff.next()
        assert wait is not None
        assert 0 <= wait <= min(most, first * 2.0**attempt)


def test_waits_are_spread() -> None:
    """Streams that lost one server do not come back all at once."""
    settings = ReconnectSection(first_wait_seconds=1.0, max_wait_seconds=1.0)
    waits = [Backoff(settings).next() or 0.0 for _ in range(400)]
    assert sum(wait < 0.5 for wait in waits) == pytest.approx(200, abs=60)


def test_attempts_end_and_a_proven_connection_starts_anew() -> None:
    backoff = Backoff(ReconnectSection(attempts=2))
    assert backoff.next() is not None
    assert backoff.next() is not None
    assert backoff.next() is None
    backoff.reset()
    assert backoff.next() is not None


NEW = StreamHistory(opened=True)
KNOWN = StreamHistory(opened=True, known=True)
AWAY = StreamHistory(known=True)
FEED = StreamHistory(known=True, feed=True)
FEED_OPENED = StreamHistory(opened=True, known=True, feed=True)
PATIENT = StreamHistory(retry_unreachable=True)


@pytest.mark.parametrize(
    ("source", "error", "past", "then", "word"),
    [
        (ENDLESS, None, KNOWN, "new_epoch", "closed"),
        (ENDLESS, errors.SourceClosed("x"), KNOWN, "new_epoch", "closed"),
        (ENDLESS, errors.SourceStalled("x"), KNOWN, "new_epoch", "stalled"),
        (ENDLESS, errors.SourceClosed("x"), NEW, "fail", "closed"),
        (ENDLESS, errors.NotMedia("x"), AWAY, "new_epoch", "damaged"),
        (ENDLESS, errors.SourceRefused("x"), AWAY, "new_epoch", "unreachable"),
        (ENDLESS, errors.SourceUnreachable("x"), StreamHistory(), "fail", "unreachable"),
        (ENDLESS, errors.SourceUnreachable("x"), PATIENT, "new_epoch", "unreachable"),
        (ENDLESS, errors.SourceUnsupported("x"), PATIENT, "fail", "unreachable"),
        (ENDLESS, errors.SourceForbidden("x"), PATIENT, "fail", "unreachable"),
        (ENDLESS, errors.SourceForbidden("x"), FEED, "new_epoch", "unreachable"),
        (None, errors.SourceNotFound("x"), AWAY, "new_epoch", "unreachable"),
        (None, errors.SourceNotFound("x"), StreamHistory(), "fail", "unreachable"),
        (None, errors.SourceNotFound("x"), PATIENT, "new_epoch", "unreachable"),
        (None, errors.SourceUnsupported("x"), PATIENT, "fail", "unreachable"),
        (SERVED, errors.SourceNotFound("x"), FEED, "new_epoch", "unreachable"),
        (SERVED, errors.NoUsableStream("x"), FEED, "new_epoch", "damaged"),
        (SERVED, errors.SourceNotFound("x"), PATIENT, "resume", "unreachable"),
        (SERVED, errors.SourceRefused("x"), PATIENT, "resume", "unreachable"),
        (SERVED, errors.NotMedia("x"), PATIENT, "resume", "damaged"),
        (SERVED, errors.UnknownCodec("x"), PATIENT, "fail", "unreachable"),
        (SERVED, errors.SourceNotFound("x"), AWAY, "fail", "unreachable"),
        (SERVED, errors.SourceUnreachable("x"), AWAY, "resume", "unreachable"),
        (SERVED, errors.SourceNotFound("x"), StreamHistory(), "fail", "unreachable"),
        (SERVED, errors.SourceClosed("x"), KNOWN, "resume", "closed"),
        (SERVED, errors.SourceNotFound("x"), KNOWN, "fail", "unreachable"),
        (OVER, errors.SourceClosed("x"), FEED_OPENED, "new_epoch", "closed"),
        (FILE, None, KNOWN, "stop", "closed"),
        (FILE, errors.SourceDamaged("x"), KNOWN, "fail", "damaged"),
        (FILE, errors.SourceUnreachable("x"), KNOWN, "resume", "unreachable"),
        (FILE, errors.SourceUnreachable("x"), NEW, "fail", "unreachable"),
        (FILE, errors.SourceClosed("x"), KNOWN, "resume", "closed"),
        (FILE, errors.SourceReplaced("x"), KNOWN, "new_epoch", "rotated"),
        (FILE, errors.NotMedia("x"), PATIENT, "fail", "damaged"),
        (PIPE, errors.SourceStalled("x"), KNOWN, "fail", "stalled"),
        (PIPE, None, KNOWN, "stop", "closed"),
    ],
)
def test_what_comes_after_a_connection(
    source: Any, error: SourceError | None, past: StreamHistory, then: str, word: str
) -> None:
    assert reconnect_action(source, error, past) == then
    assert gap_reason(error) == word


def test_lag_is_what_waits_here_and_not_what_the_source_holds_back() -> None:
    meter = LagMeter()
    assert meter.note(100.0, 0.0, 0.0) == 0
    assert meter.note(101.0, 1.0, 0.0) == pytest.approx(0, abs=1e-3)
    assert meter.note(104.0, 2.0, 0.0) == pytest.approx(2.0, abs=1e-2)
    # A burst catches up.
    assert meter.note(104.5, 4.5, 0.0) == pytest.approx(0.0, abs=1e-2)
    # The source is silent for six seconds and then goes on in real time.
    assert meter.note(110.5, 4.6, 5.9) == 0
    assert meter.note(111.5, 5.6, 0.0) == pytest.approx(0, abs=1e-2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 2)), max_size=50))
def test_lag_is_never_negative(steps: list[tuple[float, float, float]]) -> None:
    meter, wall, media = LagMeter(), 0.0, 0.0
    for more_wall, more_media, waited in steps:
        wall, media = wall + more_wall, media + more_media
        assert meter.note(wall, media, waited) >= 0


def test_clocks_that_differ_a_little_are_no_lag_even_after_days() -> None:
    meter, most = LagMeter(), 0.0
    for second in range(0, 3 * 86400, 10):
        most = max(most, meter.note(second * (1 + 1e-4), float(second), 0.0))
    assert most < 0.01


def test_the_slow_stage_is_named_once_a_minute() -> None:
    slow, times = SlowStage(), StageTimes()
    told = []
    for second in range(200):
        times.add("aspects", 0.9)
        times.add("shots", 0.05)
        told.append(slow.note(float(second), 5.0, times))
    assert [stage for stage in told if stage] == ["aspects"] * 4
    waiting = StageTimes()
    waiting.add("source", 8.0)
    waiting.add("aspects", 1.0)
    assert waiting.slowest(StageTimes().spent) == "decode"


def test_a_burden_thins_while_behind_and_not_for_files() -> None:
    settings = ThinningSection(raise_lag=1, lower_lag=0.3, raise_seconds=1, lower_seconds=2)
    burden = LoadShedder(settings, ["place", "vggish", "panns"])
    for second in range(5):
        burden.relieve(3.0, float(second))
    assert burden.thinner.level == 5
    for second in range(5, 60):
        burden.relieve(0.0, float(second))
    assert burden.thinner.level == 0
