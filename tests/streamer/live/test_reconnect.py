"""A live source that misbehaves is noticed, told of, and connected again in a new epoch."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest

from streamer.config.sections import (
    OutputSection,
    ReconnectSection,
    SegmentSection,
    SourceSection,
    StreamSection,
    ThinningSection,
)
from streamer.config.settings import Settings
from streamer.connectors.sources.source import Opening, SourceBase
from streamer.connectors.sources.stdin import PipeSource
from streamer.errors import SourceError, SourceInterrupted, SourceNotFound
from streamer.events.payload import Gap
from streamer.live.reconnect import SourceFactory
from streamer.live.stream import MAX_ABANDONED
from streamer.pipeline.progress import Disconnected
from tests.streamer.live.engine import Collected, Kept, Run, kept
from tests.streamer.live.server import ANSWER, Act, close, garbage, linger, play, refuse, serving
from tests.streamer.live.test_stream import Noted, whole
from tests.waiting import until

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import torch

    from streamer.events.payload import EventData
    from streamer.extractor import Extractor
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.progress import Notice

__all__ = ["whole"]

LIVE = Settings(
    stream=StreamSection(epoch=0),
    source=SourceSection(open_seconds=0.7, stall_seconds=0.7),
    output=OutputSection(emit=("boundaries", "shots", "scenes")),
    segment=SegmentSection(threshold=0.0),
    reconnect=ReconnectSection(first_wait_seconds=0.02, max_wait_seconds=0.05),
)


class Until(Noted):
    """Ends the run at the beginning of the last epoch but lets it be read."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.run: Run | None = None

    def __call__(self, event: EventData | Notice) -> None:
        super().__call__(event)
        self.epochs -= isinstance(event, Gap)
        if isinstance(event, Disconnected) and self.epochs == 0 and self.run is not None:
            self.run.stop(final=True)


def watch(
    engine: Engine, url: str, gaps: int, folder: Path | None = None
) -> tuple[Collected, Until, Run]:
    sink, noted = Collected(), Until(gaps)
    state: Kept = {} if folder is None else kept(folder, "live", engine, LIVE)
    run = Run(
        "live",
        SourceFactory(url, LIVE.source),
        LIVE,
        engine,
        [sink],
        noted,
        retry_unreachable=True,
        **state,
    )
    noted.run = run
    guard = threading.Timer(60, run.stop)
    guard.start()
    try:
        run.run()
    finally:
        guard.cancel()
    return sink, noted, run


def data(sink: Collected, kind: str) -> list[dict[str, Any]]:
    return [
        event.get_data()  # type: ignore[misc] # always an object here
        for event in sink.events
        if str(event.get_type()).rsplit(".", 2)[-2] == kind
    ]


@pytest.mark.parametrize(
    ("then", "reason"), [(close, "closed"), (linger, "stalled")], ids=["closes", "stops"]
)
def test_a_scene_change_across_a_gap_is_told_as_such(
    engine: Engine, film: Path, then: Act, reason: str
) -> None:
    with serving(play(film, 0.6, then), play(film)) as server:
        sink, _, run = watch(engine, server.url, 1)
    (gap,) = data(sink, "discontinuity")
    assert (gap["reason"], gap["epoch"], gap["previous_epoch"]) == (reason, 1, 0)
    assert gap["attempts"] == 1
    assert gap["missing_seconds"] > 0
    shots = data(sink, "shot")
    assert [shot["epoch"] for shot in shots] == sorted(shot["epoch"] for shot in shots)
    before = [shot for shot in shots if shot["epoch"] == 0]
    assert before[-1]["ended_by"] == "gap"
    assert len([shot for shot in shots if shot["epoch"] == 1]) == 12
    boundaries = data(sink, "boundary")
    # Every end of a shot is decided, the one at the gap among them; nothing is invented.
    assert len(boundaries) == len(shots) - 1
    across = [boundary for boundary in boundaries if boundary["across_gap"]]
    assert [(one["epoch"], one["shot_index"]) for one in across] == [(1, 0)]
    assert len(set(sink.ids)) == len(sink.ids)
    assert run.abandoned == 0


def test_whatever_a_server_does_the_film_comes_in_the_end(engine: Engine, film: Path) -> None:
    began = time.monotonic()
    with serving(play(film, 0.5), linger, garbage, close, play(film)) as server:
        sink, noted, _ = watch(engine, server.url, 1)
        assert server.served >= 5
    assert time.monotonic() - began < 45
    (gap,) = data(sink, "discontinuity")
    assert gap["reason"] == "closed"
    assert gap["attempts"] >= 4
    assert {reason for reason, _ in noted.losses} >= {"closed", "unreachable"}
    assert len([shot for shot in data(sink, "shot") if shot["epoch"] == 1]) == 12
    assert all(server.url.split("/live")[0] in detail for _, detail in noted.losses)


def test_attempts_may_be_bounded(engine: Engine, film: Path) -> None:
    few = LIVE.model_copy(
        update={"reconnect": ReconnectSection(first_wait_seconds=0.01, attempts=3)}
    )
    sink, noted = Collected(), Noted()
    with serving(play(film, 0.5), close) as server:
        run = Run("live", SourceFactory(server.url, few.source), few, engine, [sink], noted)
        with pytest.raises(SourceError):
            run.run()
    assert len(noted.losses) == 3
    # What was there is told to its end.
    assert data(sink, "scene")[-1]["ended_by"] == "end"


def test_without_patience_the_first_connection_has_to_work(engine: Engine) -> None:
    with serving(close) as server:
        url = server.url
    run = Run("live", SourceFactory(url, LIVE.source), LIVE, engine, [], Noted())
    with pytest.raises(SourceInterrupted):
        run.run()


NO_PUBLISHER = [
    refuse("404 Not Found"),
    refuse("403 Forbidden"),
    refuse("200 OK", b"<html>maintenance</html>"),
    refuse("200 OK"),
]
PAGES = ["not found", "forbidden", "a page", "nothing"]


@pytest.mark.parametrize("answer", NO_PUBLISHER, ids=PAGES)
def test_a_server_that_has_nothing_to_send_for_a_while_ends_no_feed(
    engine: Engine, film: Path, answer: Act
) -> None:
    with serving(play(film, 0.5), answer, answer, play(film)) as server:
        sink, _, _ = watch(engine, server.url, 1)
    (gap,) = data(sink, "discontinuity")
    assert (gap["reason"], gap["attempts"]) == ("closed", 3)
    assert len([shot for shot in data(sink, "shot") if shot["epoch"] == 1]) == 12


@pytest.mark.parametrize("answer", NO_PUBLISHER, ids=PAGES)
def test_with_patience_the_first_connection_may_find_nothing(
    engine: Engine, film: Path, answer: Act
) -> None:
    with serving(answer, answer, play(film, 1.0), play(film, 0.5)) as server:
        sink, noted, _ = watch(engine, server.url, 1)
    assert len([shot for shot in data(sink, "shot") if shot["epoch"] == 0]) == 12
    assert len(noted.losses) >= 3


def test_an_address_that_was_never_there_is_an_error_without_patience(engine: Engine) -> None:
    with serving(refuse("404 Not Found")) as server:
        run = Run("live", SourceFactory(server.url, LIVE.source), LIVE, engine, [], Noted())
        with pytest.raises(SourceNotFound):
            run.run()
    assert server.served == 1


def test_a_feed_that_is_started_again_without_its_state_has_other_ids(
    engine: Engine, film: Path
) -> None:
    settings = LIVE.model_copy(update={"stream": StreamSection()})
    runs = []
    for now in (1_700_000_000.9, 1_700_000_100.2):
        with serving(play(film)) as server:
            sink, noted = Collected(), Until(1)
            run = Run(
                "live", SourceFactory(server.url, LIVE.source), settings, engine, [sink], noted,
                clock=lambda now=now: now,  # type: ignore[misc] # bound while the loop turns
            )  # fmt: skip
            noted.run = run
            run.run()
        runs.append(sink)
        assert {shot["epoch"] for shot in data(sink, "shot")} == {int(now), int(now) + 1}
        (gap,) = data(sink, "discontinuity")
        assert (gap["previous_epoch"], gap["epoch"]) == (int(now), int(now) + 1)
        assert run.progress.epoch == int(now) + 1
    first, second = runs
    assert first.ids
    assert not set(first.ids) & set(second.ids)


def test_a_restart_of_a_live_stream_is_a_gap_too(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    with serving(play(film, 0.6, linger), play(film)) as server:
        first, noted = Collected(), Noted()
        run = Run(
            "live", SourceFactory(server.url, LIVE.source), LIVE, engine, [first], noted,
            **kept(tmp_path, "live", engine, LIVE),
        )  # fmt: skip
        thread = threading.Thread(target=run.run)
        thread.start()
        until(lambda: run.progress.shots >= 5, "five shots")
        run.stop(final=False)
        thread.join(20)
        assert not thread.is_alive()
        second, _, _ = watch(engine, server.url, 1, tmp_path)
    (gap,) = data(second, "discontinuity")
    assert (gap["reason"], gap["epoch"]) == ("restart", 1)
    assert gap["missing_seconds"] >= 0
    assert len(set(first.ids + second.ids)) == len(first.ids + second.ids)
    shots = len(data(first, "shot")) + len(data(second, "shot"))
    assert len(data(first, "boundary")) + len(data(second, "boundary")) == shots - 1


@dataclasses.dataclass
class Slow:
    """A network that takes its time."""

    inner: Extractor
    seconds: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return self.inner.embed(pieces)


def in_real_time(film: Path) -> Act:
    """Sends a film of 14.4 s at the speed of life."""

    def act(connection: socket.socket) -> None:
        data = film.read_bytes()
        connection.sendall(ANSWER)
        began, step = time.monotonic(), len(data) // 144
        for number in range(len(data) // step + 1):
            connection.sendall(data[number * step : (number + 1) * step])
            time.sleep(max(0.0, began + number / 10 - time.monotonic()))

    return act


def test_a_live_stream_that_is_behind_leaves_out_aspects_and_never_shots(
    engine: Engine, film: Path, whole: Collected
) -> None:
    slow = dataclasses.replace(
        engine,
        extractors=tuple(Slow(extractor, 0.25) for extractor in engine.extractors),
    )
    settings = LIVE.model_copy(
        update={
            "thinning": ThinningSection(
                raise_lag=0.4, lower_lag=0.1, raise_seconds=0.3, lower_seconds=5.0
            ),
            "reconnect": ReconnectSection(first_wait_seconds=0.01, attempts=1),
            "source": SourceSection(open_seconds=5.0, stall_seconds=5.0),
        }
    )
    sink, noted = Collected(), Noted()
    with serving(in_real_time(film), close) as server:
        connect = SourceFactory(server.url, settings.source)
        run = Run("film", connect, settings, slow, [sink], noted)
        with pytest.raises(SourceError):
            run.run()
    assert sum(run.progress.skipped.values()) > 10
    expected = [shot["seconds"] for shot in data(whole, "shot")]
    assert [shot["seconds"] for shot in data(sink, "shot")] == expected
    assert len(data(sink, "boundary")) == len(expected) - 1


@pytest.mark.parametrize("live", [False, True])
def test_a_pipe_is_thinned_only_when_it_is_said_to_be_live(
    engine: Engine, film: Path, whole: Collected, live: bool
) -> None:
    slow = dataclasses.replace(
        engine, extractors=tuple(Slow(extractor, 0.25) for extractor in engine.extractors)
    )
    settings = LIVE.model_copy(
        update={
            "thinning": ThinningSection(
                raise_lag=0.4, lower_lag=0.1, raise_seconds=0.3, lower_seconds=5.0
            ),
            "source": SourceSection(live=live),
        }
    )
    reads, writes = os.pipe()

    def write() -> None:
        with os.fdopen(writes, "wb") as pipe:
            pipe.write(film.read_bytes())

    writer = threading.Thread(target=write)
    writer.start()
    sink, noted = Collected(), Noted()
    run = Run("film", lambda: PipeSource(reads), settings, slow, [sink], noted)
    run.run()
    writer.join()
    os.close(reads)
    assert (sum(run.progress.skipped.values()) > 0) == live
    assert any("read as live" in warning for warning in noted.warnings) == live
    assert len(data(sink, "shot")) == len(data(whole, "shot"))


def test_input_that_is_missing_within_a_connection_is_a_gap(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    holed = tmp_path / "holed.ts"
    lost = leave_out(film, holed, Fraction(5), Fraction(9))
    with serving(play(holed, then=linger)) as server:
        sink, _, _ = watch(engine, server.url, 1)
    (gap,) = data(sink, "discontinuity")
    assert (gap["reason"], gap["epoch"], gap["attempts"]) == ("jump", 1, 0)
    assert gap["missing_seconds"] == pytest.approx(float(lost), abs=0.05)
    assert gap["lost_from"]["origin"] == "arrival"
    shots = data(sink, "shot")
    before = [shot for shot in shots if shot["epoch"] == 0]
    behind = [shot for shot in shots if shot["epoch"] == 1]
    assert before[-1]["ended_by"] == "gap"
    assert before[-1]["end_seconds"] == pytest.approx(5.0, abs=0.05)
    assert [shot["seconds"] for shot in before] == pytest.approx(
        [1.2 * number for number in range(len(before))], abs=0.001
    )
    # The clock is the sender's: ticks go on, and so do the cuts.
    start = float(behind[0]["pts"] * Fraction(behind[0]["time_base"]))
    first = float(before[0]["pts"] * Fraction(before[0]["time_base"]))
    assert start - first == pytest.approx(before[-1]["end_seconds"] + float(lost), abs=0.05)
    cuts = [shot["seconds"] + start - first for shot in behind[1:]]
    assert cuts == pytest.approx([1.2 * round(cut / 1.2) for cut in cuts], abs=0.001)
    assert len(data(sink, "boundary")) == len(shots) - 1
    assert [one["across_gap"] for one in data(sink, "boundary")].count(True) == 1


def leave_out(film: Path, out: Path, start: Fraction, end: Fraction) -> Fraction:
    """Copies a film without its packets between two times, from key picture to key picture.

    Returns:
        Seconds of pictures that are missing.
    """
    with av.open(str(film)) as source, av.open(str(out), "w", format="mpegts") as sink:
        streams = {each.index: sink.add_stream_from_template(each) for each in source.streams}
        zero = Fraction(source.start_time or 0, av.time_base)
        again = False
        shown: list[Fraction] = []
        for packet in source.demux():
            if packet.dts is None or packet.pts is None:
                continue
            at = packet.pts * packet.time_base - zero
            again = again or (at >= end and packet.stream.type == "video" and packet.is_keyframe)
            if at >= start and not again:
                continue
            if packet.stream.type == "video":
                shown.append(at)
            packet.stream = streams[packet.stream_index]
            sink.mux(packet)
    shown.sort()
    return max(b - a for a, b in itertools.pairwise(shown)) - Fraction(1, 25)


@pytest.mark.parametrize("changed", ["audio", "video"])
def test_a_programme_table_that_changes_is_read_by_a_new_connection(
    engine: Engine, film: Path, tmp_path: Path, changed: str
) -> None:
    other = tmp_path / "other.ts"
    pids = {"video": ["-streamid", "0:768", "-streamid", "1:257"]}.get(
        changed, ["-streamid", "0:256", "-streamid", "1:768"]
    )
    words = ["ffmpeg", "-loglevel", "error", "-i", film, "-c", "copy", *pids]
    words += ["-output_ts_offset", "14.4", "-mpegts_flags", "initial_discontinuity", other]
    subprocess.run(list(map(str, words)), check=True, timeout=60)
    with serving(play(film, then=slowly(other)), play(other)) as server:
        sink, noted, _ = watch(engine, server.url, 1)
    assert [reason for reason, _ in noted.losses] == ["stalled", "closed"]
    assert f"no {changed} for" in noted.losses[0][1]
    (gap,) = data(sink, "discontinuity")
    assert gap["reason"] == "stalled"
    behind = [shot for shot in data(sink, "shot") if shot["epoch"] == 1]
    assert len(behind) == 12
    assert not any(use["absent"] for shot in behind for use in shot["aspects"].values())


def slowly(path: Path) -> Act:
    """Goes on with another recording at the speed of life."""

    def act(connection: socket.socket) -> None:
        data = path.read_bytes()
        piece = len(data) // 188 // 144 * 188
        for start in range(0, len(data), piece):
            connection.sendall(data[start : start + piece])
            time.sleep(0.1)

    return act


class Stuck(SourceBase):
    """Accepts, and never comes back from a read, whoever asks it to."""

    def __init__(self, release: threading.Event) -> None:
        super().__init__("stuck", live=True, endless=True)
        self._release = release

    def open(self) -> Opening:
        return Opening(self, open_seconds=0.1, stall_seconds=0.1)

    def read(self, _: int = -1, /) -> bytes:
        self._release.wait(60)
        return b""

    def seekable(self) -> bool:
        return False


def test_readers_that_hang_are_few_and_are_counted(engine: Engine) -> None:
    release, made = threading.Event(), 0
    noted = Noted()

    def connect() -> Stuck:
        nonlocal made
        made += 1
        return Stuck(release)

    run = Run("feed", connect, LIVE, engine, [Collected()], noted, retry_unreachable=True)
    watching = threading.Thread(target=run.run, daemon=True)
    watching.start()
    try:
        until(lambda: len(noted.losses) > 2 * MAX_ABANDONED, "readers hang")
        assert made == run.abandoned == MAX_ABANDONED
        assert any("hang" in detail for _, detail in noted.losses)
        release.set()
        until(lambda: made > MAX_ABANDONED, "readers hang")
    finally:
        release.set()
        run.stop()
        watching.join(10)
    until(lambda: run.abandoned == 0, "readers hang")
