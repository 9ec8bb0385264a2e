from __future__ import annotations

import threading
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import pytest

from streamer.errors import SourceDamaged
from streamer.pipeline.feed import Feed
from streamer.timeline import Instant, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME = av.VideoFrame(16, 16, "yuv420p")


def picture(index: int) -> Picture:
    return Picture(Instant(index, Fraction(1, 25)), FRAME)


def test_the_consumer_sees_every_item_in_order() -> None:
    items = [picture(i) for i in range(100)]
    with Feed(items, 3) as feed:
        assert list(feed) == items


def test_an_error_comes_after_the_items_before_it() -> None:
    def damaged() -> Iterator[Picture]:
        yield picture(0)
        yield picture(1)
        raise SourceDamaged("film.mp4: damaged at 1.0 s")

    with Feed(damaged(), 1) as feed:
        items = iter(feed)
        assert [next(items).start.pts, next(items).start.pts] == [0, 1]
        with pytest.raises(SourceDamaged):
            next(items)


def test_no_more_than_its_size_is_decoded_ahead() -> None:
    decoded = 0
    blocked = threading.Event()

    def endless() -> Iterator[Picture]:
        nonlocal decoded
        while True:
            decoded += 1
            if decoded == 5:
                blocked.set()
            yield picture(decoded)

    with Feed(endless(), 3) as feed:
        iterator = iter(feed)
        next(iterator)
        assert blocked.wait(10)
        assert decoded <= 5
        feed.stop()


def test_stopping_keeps_what_was_decoded_and_ends() -> None:
    def endless() -> Iterator[Picture]:
        index = 0
        while True:
            yield picture(index)
            index += 1

    with Feed(endless(), 4) as feed:
        seen = []
        for item in feed:
            seen.append(item.start.pts)
            if len(seen) == 10:
                feed.stop()
    assert seen == list(range(len(seen)))
    assert 10 <= len(seen) <= 16


def test_leaving_early_ends_the_decoder() -> None:
    feed = Feed((picture(i) for i in range(10**9)), 2)
    with feed:
        next(iter(feed))
    assert not any(t.name == "decode" and t.is_alive() for t in threading.enumerate())
