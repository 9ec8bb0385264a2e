"""A reader that hangs is noticed from outside, told to stop, and left behind if need be."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest

from streamer.decode import connection as module
from streamer.decode.connection import Connection, Deadlines
from streamer.errors import SourceDamaged, SourceStalled
from streamer.timeline import Picture, StreamInfo, Timestamp
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

INFO = StreamInfo(True, False, Fraction(25), None, "mpegts", "h264", None, 16, 16)
SOON = Deadlines(open_seconds=0.1, stall_seconds=0.1, stop_seconds=0.3)


class Script:
    """A decoder that does what a test says."""

    info = INFO
    reading = False

    def __init__(self, items: int, *, hang_open: bool = False, hang: bool = False) -> None:
        self.items, self.hang_open, self.hang = items, hang_open, hang
        self.obeys = True
        self.release = threading.Event()
        self.hanging, self.closed = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def __enter__(self) -> Script:
        if self.hang_open:
            self.release.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()

    def __iter__(self) -> Iterator[Picture]:
        for index in range(self.items):
            yield Picture(Timestamp(index, Fraction(1, 25)), av.VideoFrame(16, 16, "gray"))
        if self.hang:
            self.hanging.set()
            self.release.wait(20)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        if self.obeys:
            self.release.set()


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE", 0.0)


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return time.thread_time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def connect(script: Script, deadlines: Deadlines = SOON, **more: Any) -> Connection:
    return Connection(script, "feed", 4, deadlines, **more)


def test_items_come_in_order_and_then_the_error(clock: Clock) -> None:
    script = Script(20)
    script.error = SourceDamaged("feed: torn")
    got: list[int] = []
    with connect(script) as connection, pytest.raises(SourceDamaged):
        got.extend(item.start.pts for item in connection)
    assert got == [*range(20)]
    assert script.closed.is_set()
    assert not connection.abandoned


def test_an_opening_that_hangs_ends_in_time() -> None:
    script = Script(0, hang_open=True)
    began = time.monotonic()
    with pytest.raises(SourceStalled, match="not open after"), connect(script):
        pass
    assert time.monotonic() - began < 5
    assert script.closed.wait(5)


def test_a_reading_that_hangs_ends_in_time(clock: Clock) -> None:
    script = Script(3, hang=True)
    got: list[int] = []
    with connect(script) as connection:
        assert script.hanging.wait(20)
        clock.now += 1.0
        with pytest.raises(SourceStalled, match="nothing came for"):
            got.extend(item.start.pts for item in connection)
    assert got == [0, 1, 2]
    assert script.closed.wait(5)
    assert not connection.abandoned


def test_a_reader_that_does_not_even_stop_is_left_behind_and_freed_later() -> None:
    script = Script(3, hang=True)
    script.obeys = False
    began = time.monotonic()
    with pytest.raises(SourceStalled), connect(script) as connection:
        for _ in connection:
            pass
    assert time.monotonic() - began < 5
    assert connection.abandoned
    script.release.set()
    assert script.closed.wait(5)
    connection._thread.join(5)
    assert not connection.abandoned


def test_a_consumer_that_is_slow_is_no_stall(clock: Clock) -> None:
    script = Script(40)
    with connect(script) as connection:
        for index, _ in enumerate(connection):
            if index == 0:
                until(connection._queue.full, "a decoder that waits for room")
                clock.now += 10.0
                # It is heard while it waits: however late it gets on, it has not been silent.
                until(lambda: connection._latest == clock.now, "a sign of life")
    assert index == 39


def test_deadlines_do_not_hold_for_what_may_pause() -> None:
    script = Script(1, hang=True)
    timer = threading.Timer(0.5, script.release.set)
    timer.start()
    with connect(script, timed=lambda: False) as connection:
        assert len(list(connection)) == 1
    timer.join()


def test_stopping_from_elsewhere_ends_the_reading() -> None:
    script = Script(2, hang=True)
    with connect(script, Deadlines(stop_seconds=20.0)) as connection:
        items = iter(connection)
        assert [next(items).start.pts for _ in range(2)] == [0, 1]
        threading.Timer(0.1, connection.stop).start()
        assert list(items) == []
    assert script.closed.is_set()
