"""The same answer however the work is cut up, and the same memory however long the film is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from streamer.bench.media import lengthen
from streamer.bench.tail import measure
from tests.acceptance.command import EVERYTHING, Tail, read_event
from tests.acceptance.films import pictures
from tests.media import Recipe, Tone, write_film

MARGIN = 24 << 20


def test_scores_do_not_depend_on_how_much_is_embedded_at_once(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    write_film(path, pictures(4, 200), Recipe(sound=Tone(32.0)))
    done = []
    for batch in (1, 8, 16):
        monkeypatch.setattr("streamer.live.stream.FILE_BATCH", batch)
        done.append(tail(path, "--threshold", "0", *EVERYTHING))
    assert len(done[0].boundaries) == 3
    for other in done[1:]:
        assert other.ids == done[0].ids
        assert other.scores == pytest.approx(done[0].scores, abs=1e-5)


def test_memory_does_not_grow_with_the_film(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two aspects, one of each kind: the networks are what takes the time.
    for slot in ("speaker", "vggish", "panns", "musicnn"):
        monkeypatch.setenv(f"STREAMER__ASPECTS__{slot.upper()}__ENABLED", "false")
    short = tmp_path / "short.mp4"
    write_film(short, pictures(15, 20, 160, 90), Recipe(rate=Fraction(10), sound=Tone(30.0)))
    peaks, counts = [], []
    for minutes in (3, 12):
        film = lengthen(short, tmp_path / f"{minutes}.mp4", 60 * minutes)
        words = ["tail", str(film), "--checkpoint", tail.checkpoint, "--quiet", "--emit", "shots"]
        cost = measure("streamer", words)
        events = [read_event(line) for line in cost.output.splitlines()]
        peaks.append(cost.peak)
        counts.append(len(events))
        assert set(events[5]["data"]["aspects"]) == {"place", "openl3"}
    assert counts == [90, 360]
    assert peaks[1] < peaks[0] + MARGIN
