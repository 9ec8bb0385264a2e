from __future__ import annotations

import threading
import time
from fractions import Fraction

from streamer.decode.placing import Pace


def test_media_time_passes_no_faster_than_the_clock() -> None:
    pace = Pace()
    began = time.monotonic()
    for tick in range(6):
        pace.wait(Fraction(100) + Fraction(tick, 20))
    assert time.monotonic() - began >= 0.25


def test_the_first_time_seen_is_due_at_once_and_lateness_is_caught_up() -> None:
    pace = Pace()
    assert pace.due(Fraction(5)) is None
    before = time.monotonic()
    pace.wait(Fraction(5))
    after = time.monotonic()
    due = pace.due(Fraction(5))
    assert due is not None
    assert before <= due <= after
    later = pace.due(Fraction(7))
    assert later is not None
    assert abs(later - due - 2) < 1e-6
    pace.wait(Fraction(0))
    assert pace.due(Fraction(5)) == due


def test_slack_lets_sound_run_ahead() -> None:
    pace = Pace()
    pace.wait(Fraction(0))
    began = time.monotonic()
    pace.wait(Fraction(20), slack=20.0)
    assert time.monotonic() - began < 10


def test_a_leap_in_the_timestamps_is_not_slept_through() -> None:
    pace = Pace()
    pace.wait(Fraction(0))
    began = time.monotonic()
    pace.wait(Fraction(10**6))
    assert time.monotonic() - began < 10


def test_stop_ends_a_wait() -> None:
    pace = Pace()
    pace.wait(Fraction(0))
    stopper = threading.Thread(target=pace.stop)
    began = time.monotonic()
    stopper.start()
    pace.wait(Fraction(29))
    pace.wait(Fraction(29))
    assert time.monotonic() - began < 20
    stopper.join()
