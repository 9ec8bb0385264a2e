"""A stream that is cut anywhere goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from streamer.config.sections import OutputSection, ReconnectSection, SegmentSection
from streamer.config.settings import Settings
from streamer.connectors.sources.file import FileSource
from streamer.connectors.sources.source import Opening
from streamer.errors import SourceDamaged, SourceInterrupted, SourceUnreachable
from streamer.events.payload import Gap
from streamer.live.reconnect import SourceFactory
from streamer.pipeline.progress import Disconnected, Opened, Progress
from tests.streamer.live.engine import Collected, Kept, Run, kept, kinds
from tests.streamer.live.server import film_of, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloudevents.core.v1.event import CloudEvent

    from streamer.connectors.sources.source import Source
    from streamer.events.payload import EventData, GapReason
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.progress import Notice

EVERYTHING = Settings(
    output=OutputSection(emit=("boundaries", "shots", "scenes")),
    segment=SegmentSection(threshold=0.0),
    reconnect=ReconnectSection(first_wait_seconds=0.01, max_wait_seconds=0.02),
)


class Killed(BaseException):
    """What a kill is to code that cannot see it coming."""


@dataclass
class Killer(Collected):
    """Dies while it takes an event."""

    after: int = 10**9

    def add(self, event: CloudEvent) -> None:
        if len(self.events) == self.after:
            raise Killed
        super().add(event)


@dataclass
class Noted:
    """Keeps what is reported."""

    losses: list[tuple[GapReason, str]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __call__(self, event: EventData | Notice) -> None:
        if isinstance(event, Disconnected):
            self.losses.append((event.reason, event.detail))
        elif isinstance(event, Gap):
            self.gaps.append(event)
        elif isinstance(event, Opened):
            self.warnings += event.warnings


def run(
    engine: Engine,
    connect: Callable[[], Source],
    sink: Collected,
    folder: Path | None = None,
    watcher: Callable[[EventData | Notice], None] | None = None,
    settings: Settings = EVERYTHING,
) -> Run:
    state: Kept = {} if folder is None else kept(folder, "film", engine, settings)
    made = Run("film", connect, settings, engine, [sink], watcher, **state)
    made.run()
    return made


@pytest.fixture(scope="session")
def whole(engine: Engine, film: Path) -> Collected:
    """What the film gives when nothing happens."""
    sink = Collected()
    run(engine, SourceFactory(str(film), EVERYTHING.source), sink)
    assert kinds(sink.events).count("shot") == 12
    assert "boundary" in kinds(sink.events)
    return sink


def scores(events: list[CloudEvent]) -> dict[str, float]:
    found = {}
    for event in events:
        data = event.get_data()
        assert isinstance(data, dict)
        if "score" in data:
            found[str(event.get_id())] = float(data["score"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 5, 12, 20])
def test_killed_anywhere_it_goes_on_with_the_same_events(
    engine: Engine, film: Path, whole: Collected, tmp_path: Path, after: int
) -> None:
    connect = SourceFactory(str(film), EVERYTHING.source)
    first = Killer(after=after)
    with pytest.raises(Killed):
        run(engine, connect, first, tmp_path)
    second = Collected()
    run(engine, connect, second, tmp_path)
    assert list(dict.fromkeys(first.ids + second.ids)) == whole.ids
    # Nothing but what was sent after the last state was written comes twice.
    assert len(set(first.ids) & set(second.ids)) <= 3
    again = scores(first.events) | scores(second.events)
    assert again == pytest.approx(scores(whole.events), abs=1e-5)
    third = Collected()
    run(engine, connect, third, tmp_path)
    assert third.events == []


def test_an_input_that_breaks_off_on_the_way_is_read_again_from_there(
    engine: Engine, film: Path, whole: Collected
) -> None:
    made: list[Breaking] = []

    def connect() -> Source:
        made.append(Breaking(film, [0.3, 0.7, 2.0][len(made)]))
        return made[-1]

    sink, noted = Collected(), Noted()
    run(engine, connect, sink, watcher=noted)
    assert len(made) == 3
    assert sink.ids == whole.ids
    assert [reason for reason, _ in noted.losses] == ["unreachable", "unreachable"]
    assert noted.gaps == []


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_film_over_http_that_breaks_off_is_read_again_from_where_it_was(
    engine: Engine, film: Path, whole: Collected, share: float
) -> None:
    sink, noted = Collected(), Noted()
    with serving(film_of(film, share), film_of(film, 0.7), film_of(film)) as server:
        run(engine, SourceFactory(server.url, EVERYTHING.source), sink, watcher=noted)
    assert server.served == 3
    assert sink.ids == whole.ids
    assert scores(sink.events) == pytest.approx(scores(whole.events), abs=1e-5)
    assert [reason for reason, _ in noted.losses] == ["closed", "closed"]
    assert noted.gaps == []


def test_hls_on_demand_whose_segment_breaks_off_is_read_again_from_where_it_was(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    words = ["ffmpeg", "-loglevel", "error", "-i", film, "-c", "copy", "-f", "hls"]
    words += ["-hls_time", "4", "-hls_list_size", "0", "-hls_playlist_type", "vod"]
    subprocess.run([*map(str, words), str(tmp_path / "a.m3u8")], check=True, timeout=60)
    sinks = []
    for cut in ("", "a1.ts"):
        sink, noted = Collected(), Noted()
        with folder_served(tmp_path, cut) as url:
            run(engine, SourceFactory(f"{url}/a.m3u8", EVERYTHING.source), sink, watcher=noted)
        assert [reason for reason, _ in noted.losses] == (["closed"] if cut else [])
        assert noted.gaps == []
        sinks.append(sink)
    plain, broken = sinks
    assert kinds(plain.events).count("shot") == 12
    assert broken.ids == plain.ids


@contextlib.contextmanager
def folder_served(folder: Path, cut: str) -> Iterator[str]:
    """Serves a folder's files; the first answer with one of them ends in its middle."""
    left = [cut]

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            body = (folder / name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            share = 2 if name in left else 1
            if share == 2:
                left.remove(name)
            with contextlib.suppress(OSError):
                self.wfile.write(body[: len(body) // share])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_files_and_pipes_count_epochs_from_0_whatever_the_time(
    engine: Engine, film: Path, whole: Collected
) -> None:
    sink = Collected()
    Run(
        "film", SourceFactory(str(film), EVERYTHING.source), EVERYTHING, engine, [sink],
        clock=lambda: 1_700_000_000.0,
    ).run()  # fmt: skip
    assert sink.ids == whole.ids


class Breaking(FileSource):
    """Breaks off after a share of the file."""

    broken: SourceInterrupted | None = None

    def __init__(self, path: Path, share: float) -> None:
        super().__init__(path)
        self._file = path.open("rb")
        self._left = int(path.stat().st_size * share)

    def open(self) -> Opening:
        return Opening(self)

    def read(self, size: int = -1, /) -> bytes:
        if self._left <= 0:
            self.broken = SourceUnreachable("film: broke off")
            return b""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data

    def seekable(self) -> bool:
        return False

    def fault(self) -> SourceInterrupted | None:
        return self.broken

    def close(self) -> None:
        self._file.close()


@pytest.mark.slow
@dataclass
class Counting:
    """Keeps the latest numbers."""

    latest: Progress = field(default_factory=Progress)

    def __call__(self, event: EventData | Notice) -> None:
        if isinstance(event, Progress):
            self.latest = event


def test_faults_of_the_input_are_counted_over_all_connections(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    sound = Counting()
    run(engine, SourceFactory(str(film), EVERYTHING.source), Collected(), watcher=sound)
    assert not any(sound.latest.faults.values())
    data = bytearray(film.read_bytes())
    for at in range(len(data) // 8, len(data) // 2, len(data) // 40):
        data[at : at + 60] = bytes(60)
    scratched = tmp_path / "scratched.ts"
    scratched.write_bytes(data)
    totals = []
    for shares in ([2.0], [0.7, 2.0]):
        sources = [Breaking(scratched, share) for share in shares]
        watch = Counting()
        with contextlib.suppress(SourceDamaged):
            run(engine, partial(sources.pop, 0), Collected(), watcher=watch)
        totals.append(watch.latest.faults)
    once, twice = totals
    assert once["packet"] + once["picture"] > 0
    assert sum(twice.values()) >= sum(once.values())
