"""``streamer tail`` on a live feed that goes away and comes back."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import Tail
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.media import Recipe, Tone, write_film
from tests.streamer.live.server import close, garbage, linger, play, serving


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "feed.ts"
    recipe = Recipe(rate=RATE, codec="mpeg2video", sound=Tone(SHOTS * 1.2))
    write_film(path, pictures(), recipe)
    return path


def test_a_feed_is_connected_again_until_somebody_ends_it(tail: Tail, feed: Path) -> None:
    began = int(time.time())
    with (
        serving(play(feed, 0.6), garbage, close, play(feed, 1.0, linger)) as server,
        tail.start(
            server.url.replace("http://", "http://user:secret@"),
            *("--name", "feed", "--threshold", "0", "--emit", "shots", "--json-logs"),
        ) as process,
    ):
        told: list[dict[str, Any]] = [process.next_event()]
        # Counted from the second at which it began: another run's events have other ids.
        first = told[0]["data"]["epoch"]
        assert began <= first <= time.time()
        while len([one for one in told if one["data"]["epoch"] == first + 1]) < SHOTS - 1:
            told.append(process.next_event())
        process.child.send_signal(signal.SIGINT)
        done = process.finish()
    assert done.code == 0
    assert "secret" not in done.errors
    gaps = [event["data"] for event in done.events if "previous_epoch" in event["data"]]
    assert [(gap["reason"], gap["epoch"]) for gap in gaps] == [("closed", first + 1)]
    assert gaps[0]["attempts"] >= 3
    assert "trying again in" in done.errors
    assert "the input is back" in done.errors
