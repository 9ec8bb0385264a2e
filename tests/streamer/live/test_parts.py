"""Back-off, lag and what the end of a connection means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer import errors
from streamer.config.sections import ReconnectSection, ThinningSection
from streamer.connectors.sources.source import SourceBase
from streamer.live.backoff import Backoff
from streamer.live.gauge import LagMeter, SlowStage
from streamer.live.losses import Past, reason, sequel
from streamer.live.shedding import LoadShedder
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
@given(st.integers(0, 2**32), st.floats(0.001, 10), st.floats(0.001, 100), st.integers(1, 80))
def test_waits_are_bounded_and_repeatable(seed: int, first: float, most: float, count: int) -> None:
    settings = ReconnectSection(first_wait_seconds=first, max_wait_seconds=most)
    one, two = Backoff(settings, seed), Backoff(settings, seed)
    waits = [one.next() for _ in range(count)]
    assert waits == [two.next() for _ in range(count)]
    for attempt, wait in enumerate(waits):
        assert wait is not None
        assert 0 <= wait <= min(most, first * 2.0**attempt)


def test_attempts_end_and_a_proven_connection_starts_anew() -> None:
    backoff = Backoff(ReconnectSection(attempts=2), seed=1)
    assert backoff.next() is not None
    assert backoff.next() is not None
    assert backoff.next() is None
    backoff.reset()
    assert backoff.next() is not None


NEW = Past(opened=True)
KNOWN = Past(opened=True, known=True)
AWAY = Past(known=True)
FEED = Past(known=True, feed=True)
FEED_OPENED = Past(opened=True, known=True, feed=True)
PATIENT = Past(patient=True)


@pytest.mark.parametrize(
    ("source", "error", "past", "then", "word"),
    [
        (ENDLESS, None, KNOWN, "anew", "closed"),
        (ENDLESS, errors.SourceClosed("x"), KNOWN, "anew", "closed"),
        (ENDLESS, errors.SourceStalled("x"), KNOWN, "anew", "stalled"),
        (ENDLESS, errors.SourceClosed("x"), NEW, "raise", "closed"),
        (ENDLESS, errors.NotMedia("x"), AWAY, "anew", "damaged"),
        (ENDLESS, errors.SourceRefused("x"), AWAY, "anew", "unreachable"),
        (ENDLESS, errors.SourceUnreachable("x"), Past(), "raise", "unreachable"),
        (ENDLESS, errors.SourceUnreachable("x"), PATIENT, "anew", "unreachable"),
        (ENDLESS, errors.SourceUnsupported("x"), PATIENT, "raise", "unreachable"),
        (ENDLESS, errors.SourceForbidden("x"), PATIENT, "raise", "unreachable"),
        (ENDLESS, errors.SourceForbidden("x"), FEED, "anew", "unreachable"),
        (None, errors.SourceNotFound("x"), AWAY, "anew", "unreachable"),
        (None, errors.SourceNotFound("x"), Past(), "raise", "unreachable"),
        (None, errors.SourceNotFound("x"), PATIENT, "anew", "unreachable"),
        (None, errors.SourceUnsupported("x"), PATIENT, "raise", "unreachable"),
        (SERVED, errors.SourceNotFound("x"), FEED, "anew", "unreachable"),
        (SERVED, errors.NoUsableStream("x"), FEED, "anew", "damaged"),
        (SERVED, errors.SourceNotFound("x"), PATIENT, "again", "unreachable"),
        (SERVED, errors.SourceRefused("x"), PATIENT, "again", "unreachable"),
        (SERVED, errors.NotMedia("x"), PATIENT, "again", "damaged"),
        (SERVED, errors.UnknownCodec("x"), PATIENT, "raise", "unreachable"),
        (SERVED, errors.SourceNotFound("x"), AWAY, "raise", "unreachable"),
        (SERVED, errors.SourceUnreachable("x"), AWAY, "again", "unreachable"),
        (SERVED, errors.SourceNotFound("x"), Past(), "raise", "unreachable"),
        (SERVED, errors.SourceClosed("x"), KNOWN, "again", "closed"),
        (SERVED, errors.SourceNotFound("x"), KNOWN, "raise", "unreachable"),
        (OVER, errors.SourceClosed("x"), FEED_OPENED, "anew", "closed"),
        (FILE, None, KNOWN, "end", "closed"),
        (FILE, errors.SourceDamaged("x"), KNOWN, "raise", "damaged"),
        (FILE, errors.SourceUnreachable("x"), KNOWN, "again", "unreachable"),
        (FILE, errors.SourceUnreachable("x"), NEW, "raise", "unreachable"),
        (FILE, errors.SourceClosed("x"), KNOWN, "again", "closed"),
        (FILE, errors.SourceReplaced("x"), KNOWN, "anew", "rotated"),
        (FILE, errors.NotMedia("x"), PATIENT, "raise", "damaged"),
        (PIPE, errors.SourceStalled("x"), KNOWN, "raise", "stalled"),
        (PIPE, None, KNOWN, "end", "closed"),
    ],
)
def test_what_comes_after_a_connection(
    source: Any, error: SourceError | None, past: Past, then: str, word: str
) -> None:
    assert sequel(source, error, past) == then
    assert reason(error) == word


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
