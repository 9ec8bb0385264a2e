"""Plug-ins by entry points: found, used, and named where they fail."""

from __future__ import annotations

import json
import re
import threading
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import streamer
from streamer import plugins
from streamer.cli.app import run
from streamer.config.load import make_settings
from streamer.config.sections import SourceSection
from streamer.connectors.sinks.registry import check_kind, open_sink
from streamer.connectors.sources.registry import open_source
from streamer.errors import (
    ConfigError,
    ExtractionError,
    PluginError,
    SinkError,
    SourceError,
    SourceNotFound,
    SourceUnreachable,
    SourceUnsupported,
    StreamerError,
)
from streamer.events.cloudevent import cloud_event
from streamer.events.payload import EventData
from streamer.models.networks.registry import architecture
from streamer.plugins import SinkContext
from streamer.shots.base import MAX_DELAY, ShotOptions
from streamer.shots.detector import make_detector
from streamer.timeline import Picture, Shot, Timestamp
from tests.media import texture, write_film
from tests.plugins import Site
from tests.streamer.events.examples import boundary, discontinuity, scene, shot

RATE = Fraction(25)
CPU = torch.device("cpu")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    found = Site(folder)
    yield found
    found.forget()


SINKS = """
    import threading, sys
    from streamer.plugins import Sink

    calls = []
    never = threading.Event()

    class Keep(Sink):
        def open(self): calls.append(("open", self.url, self.context.stream))
        def write(self, event):
            calls.append((type(event).__name__, event.to_json(), self.cloud_event.get_id()))
        def flush(self): calls.append("flush")
        def close(self): calls.append("close")

    class Raising(Sink):
        def write(self, event): raise ValueError(f"no {self.url}")

    class Exiting(Sink):
        def write(self, event): sys.exit(3)

    class Hanging(Sink):
        timeout = 0.2
        def write(self, event): never.wait()

    class Waiting(Sink):
        def write(self, event): never.wait()

    class Async(Sink):
        async def write(self, event): ...

    class LateFailure(Sink):
        def write(self, event): ...
        def close(self): raise OSError("the upload failed")

    class Unfinished(Sink):
        pass

    def function(event): calls.append(event)
    async def later(event): ...
    nonsense = 3
"""
POINTS = {
    "sinks:keep": "Keep",
    "sinks:raising": "Raising",
    "sinks:exiting": "Exiting",
    "sinks:hanging": "Hanging",
    "sinks:waiting": "Waiting",
    "sinks:async": "Async",
    "sinks:late": "LateFailure",
    "sinks:unfinished": "Unfinished",
    "sinks:function": "function",
    "sinks:later": "later",
    "sinks:nonsense": "nonsense",
    "sinks:absent": "Absent",
}


@pytest.fixture
def sinks(site: Site) -> Any:
    """The module of the sinks above."""
    site.install("some-sinks", SINKS, POINTS)
    return __import__("some_sinks")


def test_a_sink_gets_every_kind_of_event_in_order(sinks: Any) -> None:
    sink = open_sink("keep://place/x?token=secret", SinkContext("film"))
    assert sink.name == "keep://place/x"
    sent: list[EventData] = [boundary(), shot(), scene(), discontinuity()]
    wrapped = [cloud_event(event) for event in sent]
    for event in wrapped:
        sink.add(event)
    sink.flush()
    sink.close()
    sink.close()
    assert sinks.calls == [
        ("open", "keep://place/x?token=secret", "film"),
        *(
            (type(event).__name__, event.to_json(), envelope.get_id())
            for event, envelope in zip(sent, wrapped, strict=True)
        ),
        "flush",
        "close",
    ]


def test_a_function_is_a_sink_and_a_name_needs_no_slashes(sinks: Any) -> None:
    sink = open_sink("function:")
    sink.add(cloud_event(boundary()))
    sink.close()
    assert sinks.calls == [boundary()]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("raising://user:pass@host/x?token=secret", "ValueError: no …"),
        ("exiting:", "SystemExit: 3"),
        ("hanging:", "write did not return in 0.2 s"),
        ("async:", "is async"),
        ("later:", "is async"),
    ],
)
def test_a_sink_that_fails_is_named(sinks: Any, location: str, reason: str) -> None:
    sink = open_sink(location)
    scheme = location.partition(":")[0]
    with pytest.raises(SinkError) as caught:
        sink.add(cloud_event(boundary()))
    text = str(caught.value)
    assert text.startswith(f"sink plug-in {scheme} (some-sinks 1.0): ")
    assert reason in text
    assert "secret" not in text
    assert "pass" not in text
    sink.close()
    sinks.never.set()


def test_a_sink_that_hangs_stays_ended(sinks: Any) -> None:
    sink = open_sink("hanging:")
    with pytest.raises(SinkError, match="did not return"):
        sink.add(cloud_event(boundary()))
    with pytest.raises(SinkError, match="did not return"):
        sink.flush()
    sinks.never.set()


def test_an_abort_ends_the_wait_for_a_sink(sinks: Any) -> None:
    context = SinkContext()
    sink = open_sink("waiting:", context)
    abort = threading.Timer(0.2, context.abort.set)
    abort.start()
    with pytest.raises(SinkError, match="before it was stopped"):
        sink.add(cloud_event(boundary()))
    abort.join()
    sinks.never.set()


def test_an_error_when_a_sink_closes_is_no_success(sinks: Any) -> None:
    sink = open_sink("late:")
    sink.add(cloud_event(boundary()))
    with pytest.raises(SinkError, match=r"late \(some-sinks 1\.0\): OSError: the upload failed"):
        sink.close()


def test_what_is_no_sink_is_refused(sinks: Any) -> None:
    with pytest.raises(PluginError, match="neither a subclass of streamer"):
        check_kind("nonsense:")
    with pytest.raises(PluginError, match="cannot be imported: AttributeError"):
        check_kind("absent:")
    with pytest.raises(SinkError, match="Unfinished"):
        open_sink("unfinished:")


def test_an_event_of_another_program_is_refused(sinks: Any) -> None:
    sink = open_sink("keep:")
    event = cloud_event(boundary())
    event.get_attributes()["type"] = "org.example.other"
    with pytest.raises(SinkError, match=r"org\.example\.other"):
        sink.add(event)
    sink.close()


def test_an_unknown_scheme_names_the_nearest(sinks: Any) -> None:
    with pytest.raises(SinkError, match=r"did you mean keep\? there are .*file.*kafka.*keep"):
        check_kind("keeep://x")
    with pytest.raises(SourceUnsupported, match=r"did you mean srt\?"):
        open_source("srtt://host/x", SourceSection())
    # No scheme: a path.
    check_kind("keeep:x")


def test_two_plugins_of_one_name_are_an_error_only_when_used(site: Site) -> None:
    code = "def sink(event): ..."
    site.install("one-sink", code, {"sinks:twice": "sink", "sinks:once": "sink"})
    site.install("two-sink", code, {"sinks:twice": "sink", "sinks:kafka": "sink"}, "2.1")
    check_kind("once:")
    with pytest.raises(PluginError, match=r"one-sink 1\.0 and two-sink 2\.1|two.*and one"):
        check_kind("twice:")
    with pytest.raises(PluginError, match=r"moae-streamer and two-sink 2\.1"):
        check_kind("kafka://localhost/x")


def test_a_plugin_that_cannot_be_imported_is_listed_and_skipped(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    site.install("broken-sink", "import absent_module", {"sinks:broken": "sink"})
    site.install("leaving-sink", "raise SystemExit(1)", {"sinks:leaving": "sink"})
    site.install("good-sink", "def sink(event): ...", {"sinks:good": "sink"})
    check_kind("good:")
    with pytest.raises(PluginError, match=r"broken \(broken-sink 1\.0\): cannot be imported: .*ab"):
        check_kind("broken:")
    assert run(["plugins", "--json"]) == 0
    out, err = capfd.readouterr()
    rows = {(row["kind"], row["name"]): row for row in map(json.loads, out.splitlines())}
    assert rows["sink", "good"] == {
        "kind": "sink",
        "name": "good",
        "distribution": "good-sink",
        "version": "1.0",
        "object": "good_sink:sink",
        "error": None,
    }
    assert "absent_module" in rows["sink", "broken"]["error"]
    assert "SystemExit" in rows["sink", "leaving"]["error"]
    assert rows["source", "rtsp"]["distribution"] == "moae-streamer"
    assert rows["source", "rtsp"]["version"] == streamer.__version__
    assert rows["shot detector", "thumbnails"]["error"] is None
    assert err == ""
    assert run(["plugins"]) == 0
    out, err = capfd.readouterr()
    assert "broken-sink" in out
    assert err == ""


@pytest.mark.network
@pytest.mark.parametrize("group", plugins.BUILT_IN)
def test_every_built_in_part_can_be_imported(group: plugins.Group) -> None:
    for (plugin,) in plugins.table(group).values():
        assert plugin.load() is not None


SOURCES = """
    import io, threading
    from pathlib import Path
    from streamer.plugins import Source

    film = None
    closed = []
    never = threading.Event()

    class Library(Source):
        def open(self): return film
        def close(self): closed.append(self.location)

    class Stored(Source):
        def open(self): return io.BytesIO(Path(film).read_bytes())

    def found(location): return Path(film)
    def absent(location): return "/absent/film.mkv"
    def nonsense(location): return 3
    def again(location): return location

    class Raising(Source):
        def open(self): raise ValueError(f"no {self.location}")

    class Away(Source):
        live = True
        def open(self): raise ConnectionRefusedError("refused")

    class Hanging(Source):
        def open(self): never.wait()

    class Silent(Source):
        def open(self): return Blocking(Path(film).read_bytes())

    class Blocking(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > len(self.getbuffer()) // 2: never.wait()
            return super().read(size)
        def seekable(self): return False

    class Torn(Source):
        def open(self): return Tearing(Path(film).read_bytes())

    class Tearing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > len(self.getbuffer()) // 2: raise RuntimeError("torn")
            return super().read(size)
        def seekable(self): return False
"""
NAMES = {
    "library": "Library",
    "stored": "Stored",
    "found": "found",
    "absent": "absent",
    "nonsense": "nonsense",
    "again": "again",
    "raising": "Raising",
    "away": "Away",
    "stuck": "Hanging",
    "torn": "Torn",
    "silent": "Silent",
}


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mkv"
    write_film(path, [texture(index // 40, 96, 64) for index in range(120)])
    return path


@pytest.fixture
def sources(site: Site, film: Path) -> Any:
    site.install("some-sources", SOURCES, {f"sources:{n}": a for n, a in NAMES.items()})
    module: Any = __import__("some_sources")
    module.film = str(film)
    return module


@pytest.mark.parametrize("scheme", ["library", "stored", "found"])
def test_a_source_gives_the_same_shots_as_its_file(sources: Any, film: Path, scheme: str) -> None:
    expected = [(shot.at, shot.end) for shot in streamer.detect_shots(film)]
    assert len(expected) == 3
    location = f"{scheme}://archive/7"
    assert [(shot.at, shot.end) for shot in streamer.detect_shots(location)] == expected
    assert sources.closed == ([location] if scheme == "library" else [])


@pytest.mark.parametrize(
    ("location", "kind", "reason"),
    [
        ("absent://x", SourceNotFound, "no such file"),
        ("nonsense://x", SourceError, "open gave int"),
        ("again://x", SourceError, "another plug-in"),
        ("raising://x?token=secret", SourceError, "ValueError: no raising://x$"),
        ("torn://x", SourceError, "torn"),
    ],
)
def test_a_source_that_fails_is_named(
    sources: Any, location: str, kind: type[StreamerError], reason: str
) -> None:
    name = location.partition(":")[0]
    with pytest.raises(kind, match=rf"(?s)source plug-in {name} \(some-sources 1\.0\).*({reason})"):
        list(streamer.detect_shots(location))


def test_a_live_source_that_is_away_may_come_back(sources: Any) -> None:
    source = open_source("away://x", SourceSection())
    assert source.live
    assert source.endless
    with pytest.raises(SourceUnreachable, match="ConnectionRefusedError"):
        source.open()
    source.close()


def test_a_source_that_hangs_ends_in_time(sources: Any) -> None:
    source = open_source("stuck://x", SourceSection(open_seconds=0.2))
    with pytest.raises(SourceError, match=r"stuck .*open did not return in 0\.2 s"):
        source.open()
    source.close()
    sources.never.set()


def test_a_read_that_hangs_ends_in_time(sources: Any) -> None:
    shots = streamer.detect_shots("silent://x", options={"source.stall_seconds": 0.5})
    with pytest.raises(SourceError, match=r"plug-in silent .*read did not return in 0\.5 s"):
        list(shots)
    sources.never.set()


ASPECTS = """
    import numpy as np
    from streamer.extractor import ClipInput, PictureInput
    from fractions import Fraction
    from streamer.plugins import Aspect
    import threading
    never = threading.Event()

    class Loudest(Aspect):
        def embed(self, pieces): return np.abs(pieces).max(axis=1, keepdims=True)

    class Shape(Aspect):
        def embed(self, pieces): return np.zeros((1, 2))

    class Infinite(Aspect):
        def embed(self, pieces): return np.where(pieces[:, :1] == 0, 0.0, np.inf)

    class Raising(Aspect):
        def embed(self, pieces):
            if pieces.any(): raise KeyError("loud")
            return pieces[:, :3]

    class Brightness(Aspect):
        input = PictureInput(8, 8, Fraction(2))
        def embed(self, pieces): return pieces.mean(axis=(2, 3))

    class Clip(Aspect):
        input = ClipInput(8, 8, 4, Fraction(1, 10))
        def embed(self, pieces): return pieces.mean(axis=(2, 3, 4))

    class Flat(Aspect):
        def embed(self, pieces): return pieces[:, 0]

    nonsense = 3
"""


@pytest.fixture
def aspects(site: Site) -> None:
    names = ("Loudest", "Shape", "Infinite", "Raising", "Brightness", "Clip", "Flat", "nonsense")
    site.install("some-aspects", ASPECTS, {f"aspects:{name.lower()}": name for name in names})


def extractor(name: str) -> Any:
    found = architecture(name)
    return found.build("mood", {}, CPU, Fraction(2))


@pytest.mark.usefixtures("aspects")
def test_an_aspect_describes_itself_and_embeds() -> None:
    loudest = extractor("loudest")
    assert (loudest.network, loudest.kind, loudest.dim) == ("loudest", "sound", 1)
    pieces = torch.tensor([[0.5], [-0.25]]).repeat(1, 16000)
    assert loudest.embed(pieces).tolist() == [[0.5], [0.25]]
    brightness = extractor("brightness")
    assert (brightness.kind, brightness.dim) == ("picture", 3)
    assert (extractor("clip").kind, extractor("clip").dim) == ("clip", 4)


@pytest.mark.usefixtures("aspects")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("shape", r"gave tokens \(1, 2\), expected \(2, 2\)"),
        ("infinite", "not finite"),
        ("raising", "KeyError: 'loud'"),
    ],
)
def test_an_aspect_that_fails_is_named(name: str, reason: str) -> None:
    made = extractor(name)
    with pytest.raises(ExtractionError, match=rf"aspect plug-in {name} \(some-asp.*{reason}"):
        made.embed(torch.full((2, 16000), 0.5))


@pytest.mark.usefixtures("aspects")
def test_what_is_no_aspect_is_refused() -> None:
    with pytest.raises(PluginError, match=r"embed gave \(1,\)"):
        architecture("flat")
    with pytest.raises(PluginError, match="neither a subclass"):
        architecture("nonsense")
    with pytest.raises(ConfigError, match="did you mean loudest"):
        architecture("loudes")


DETECTORS = """
    import threading
    from streamer.plugins import ShotDetector
    seen = []
    never = threading.Event()

    class Jumps(ShotDetector):
        size = (8, 6)
        mean = None
        def push(self, seconds, image):
            seen.append((seconds, image.shape))
            before, self.mean = self.mean, image.mean()
            return before is not None and bool(abs(self.mean - before) > 40)

    class Late(Jumps):
        delay = 5
        def __init__(self): self.answers = []
        def push(self, seconds, image):
            self.answers.append(super().push(seconds, image))
            return self.answers[-6] if len(self.answers) > 5 else True

    class Raising(ShotDetector):
        def push(self, seconds, image): raise ZeroDivisionError("division")

    class Unsure(ShotDetector):
        def push(self, seconds, image): return 0.5

    class Greedy(ShotDetector):
        delay = 101
        def push(self, seconds, image): return False

    class Huge(ShotDetector):
        size = (10000, 10000)
        def push(self, seconds, image): return False
"""


@pytest.fixture
def detectors(site: Site) -> Any:
    names = ("Jumps", "Late", "Raising", "Unsure", "Greedy", "Huge")
    site.install("some-detectors", DETECTORS, {f"shot_detectors:{n.lower()}": n for n in names})
    return __import__("some_detectors")


def frames(levels: list[int], step: Fraction = 1 / RATE) -> list[Picture]:
    made = []
    for index, level in enumerate(levels):
        frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), level, np.uint8), "rgb24")
        made.append(Picture(Timestamp(index, step), frame))
    return made


@pytest.mark.parametrize("name", ["jumps", "late"])
def test_a_detector_closes_shots_with_its_delay(detectors: Any, name: str) -> None:
    levels = [10] * 30 + [200] * 30 + [10] * 4 + [200] * 26
    detector = make_detector(ShotOptions(detector=name), RATE)
    assert detector.latency_frames == (5 if name == "late" else 0)
    shots: list[Shot] = []
    watermark: Timestamp | None = None
    for index, picture in enumerate(frames(levels)):
        step = detector.push(picture)
        shots += step.closed
        for each in step.closed:
            assert index - each.end.pts == detector.latency_frames
            assert watermark is None or each.end >= watermark
        watermark = step.watermark
    shots += detector.finish(Timestamp(len(levels), 1 / RATE))
    # The second change back comes within the shortest shot.
    assert [(s.index, s.start.pts, s.end.pts, s.ended_by) for s in shots] == [
        (0, 0, 30, "cut"),
        (1, 30, 60, "cut"),
        (2, 60, 90, "end"),
    ]
    assert detectors.seen[1] == (1 / RATE, (6, 8, 3))


def test_a_detector_decides_in_bounded_time_and_length(detectors: Any) -> None:
    step = Fraction(7)
    detector = make_detector(ShotOptions(detector="late", max_seconds=30.0), None)
    shots: list[Shot] = []
    for picture in frames([10] * 20, step):
        done = detector.push(picture)
        shots += done.closed
        assert picture.start.seconds - done.watermark.seconds <= MAX_DELAY
    shots += detector.finish(Timestamp(20, step))
    assert [s.ended_by for s in shots] == ["forced"] * 3 + ["end"]
    assert [s.end.pts for s in shots] == [5, 10, 15, 20]


def test_damaged_frames_are_no_evidence(detectors: Any) -> None:
    class Damaged:
        def __init__(self, frame: av.VideoFrame) -> None:
            self.frame, self.is_corrupt = frame, True

    detector = make_detector(ShotOptions(detector="jumps"), RATE)
    made = frames([10] * 20 + [200] + [10] * 20)
    made[20] = Picture(made[20].start, Damaged(made[20].frame))  # type: ignore[arg-type]
    shots = [shot for picture in made for shot in detector.push(picture).closed]
    assert shots == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raising", "ZeroDivisionError: division"),
        ("unsure", "push gave float"),
        ("greedy", "delay = 101"),
        ("huge", "size = "),
    ],
)
@pytest.mark.usefixtures("detectors")
def test_a_detector_that_fails_is_named(film: Path, name: str, reason: str) -> None:
    shots = streamer.detect_shots(film, options={"shots.detector": name})
    with pytest.raises(PluginError, match=rf"shot detector plug-in {name} \(some-.*{reason}"):
        list(shots)


def test_a_detector_finds_the_cuts_of_a_film(detectors: Any, film: Path) -> None:
    chosen = {"shots.detector": "jumps"}
    first = [shot.seconds for shot in streamer.detect_shots(film, options=chosen)]
    assert first == [shot.seconds for shot in streamer.detect_shots(film, options=chosen)]
    assert detectors.seen


def test_an_unknown_detector_names_the_nearest(detectors: Any) -> None:
    with pytest.raises(ConfigError, match="did you mean jumps"):
        make_settings({"shots.detector": "jump"})


PAGE = Path(__file__).parents[3] / "docs" / "guides" / "plugins.md"
BLOCKS = dict(
    re.findall(r'```\w+ title="(.*?)"\n(.*?)```', PAGE.read_text("utf-8"), flags=re.DOTALL)
)


def test_the_sink_of_the_guide_writes_boundaries(site: Site, tmp_path: Path) -> None:
    project = tomllib.loads(BLOCKS["pyproject.toml"])["project"]
    (target,) = project["entry-points"]["streamer.sinks"].values()
    site.install(project["name"], BLOCKS["csv_sink.py"], {"sinks:csv": target.partition(":")[2]})
    sink = open_sink(f"csv://{tmp_path}/out.csv")
    sink.add(cloud_event(boundary()))
    sink.add(cloud_event(shot()))
    sink.flush()
    one = boundary()
    assert (tmp_path / "out.csv").read_text().splitlines() == [f"film,{one.timecode},{one.score}"]
    sink.close()


def test_the_source_of_the_guide_names_a_file(site: Site) -> None:
    site.install(
        "archive-source", BLOCKS["archive_source.py"], {"sources:archive": "ArchiveSource"}
    )
    source = open_source("archive://1895", SourceSection())
    with pytest.raises(SourceNotFound, match=r"/srv/archive/1895\.mkv: no such file"):
        source.open()
    source.close()


def test_the_aspect_of_the_guide_knows_levels(site: Site) -> None:
    site.install("loudness-aspect", BLOCKS["loudness_aspect.py"], {"aspects:loudness": "Loudness"})
    name = make_settings(tomllib.loads(BLOCKS["config.toml"])).aspects.slots["loudness"].network
    (token,) = extractor(name).embed(torch.full((1, 16000), 0.5))
    np.testing.assert_allclose(token, [20 * np.log10(0.5), 0.0], atol=1e-3)


def test_the_detector_of_the_guide_finds_a_cut(site: Site) -> None:
    site.install("jump-detector", BLOCKS["jump_detector.py"], {"shot_detectors:jumps": "Jumps"})
    detector = make_detector(ShotOptions(detector="jumps"), RATE)
    shots = [s for picture in frames([10] * 20 + [200] * 20) for s in detector.push(picture).closed]
    assert [s.end.pts for s in shots] == [20]
