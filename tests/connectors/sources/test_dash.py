from __future__ import annotations

import re
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources.mpd import MOST_SOUNDS, parse
from streamer.connectors.sources.registry import open_source
from streamer.connectors.sources.segments import MOST_SEGMENTS, NotDash, NotYet, Piece
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import (
    NotMedia,
    SourceForbidden,
    SourceNotFound,
    SourceUnreachable,
    SourceUnsupported,
)
from tests.servers.film import FRAME, SHOTS, Watched, watch
from tests.servers.nginx import Nginx
from tests.servers.process import Process
from tests.waiting import until

URL = "http://host/films/film.mpd"
NOW = 1_772_396_100.0
CUTS = [sum(SHOTS[:shot]) * FRAME for shot in range(1, len(SHOTS))]


def mpd(inner: str, attributes: str = 'type="static" mediaPresentationDuration="PT10S"') -> bytes:
    namespace = 'xmlns="urn:mpeg:dash:schema:mpd:2011"'
    return f"<MPD {namespace} {attributes}><Period>{inner}</Period></MPD>".encode()


def one(inner: str, **attributes: str) -> str:
    """One picture with one representation."""
    more = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return (
        f'<AdaptationSet contentType="video">{inner}'
        f'<Representation id="v1" bandwidth="5" {more}/></AdaptationSet>'
    )


def segments(text: bytes, now: float = NOW) -> tuple[Piece, ...]:
    return parse(text, URL, now).tracks[0].parts[0].segments


def test_a_template_with_equal_segments() -> None:
    found = parse(
        mpd(
            one(
                '<SegmentTemplate timescale="1000" duration="4000" startNumber="7" '
                'initialization="$RepresentationID$/i.mp4" media="$Bandwidth$/$Number%04d$.m4s"/>'
            )
        ),
        URL,
        NOW,
    )
    part = found.tracks[0].parts[0]
    assert not found.live
    assert part.header == Piece("http://host/films/v1/i.mp4")
    assert [piece.url for piece in part.segments] == [
        f"http://host/films/5/{number:04}.m4s" for number in (7, 8, 9)
    ]
    assert {piece.seconds for piece in part.segments} == {4.0}


def test_a_timeline_with_repeats_and_times() -> None:
    timeline = '<S t="100" d="10" r="2"/><S d="20"/><S t="200" d="300" r="-1"/>'
    found = segments(
        mpd(
            one(
                '<SegmentTemplate timescale="100" media="$Time$.m4s">'
                f"<SegmentTimeline>{timeline}</SegmentTimeline></SegmentTemplate>"
            )
        )
    )
    times = [100, 110, 120, 130, 200, 500, 800]
    assert [piece.url.rpartition("/")[2] for piece in found] == [f"{t}.m4s" for t in times]
    assert [piece.seconds for piece in found] == [0.1, 0.1, 0.1, 0.2, 3.0, 3.0, 3.0]


def test_a_list_with_ranges_and_bases() -> None:
    found = parse(
        mpd(
            "<BaseURL>deep/</BaseURL>"
            + one(
                '<SegmentList timescale="1" duration="2"><Initialization range="0-99"/>'
                '<SegmentURL media="a.mp4" mediaRange="100-199"/><SegmentURL media="b.mp4"/>'
                "</SegmentList>"
            )
        ),
        URL,
        NOW,
    )
    part = found.tracks[0].parts[0]
    assert part.header == Piece("http://host/films/deep/", 0.0, (0, 100))
    assert part.segments == (
        Piece("http://host/films/deep/a.mp4", 2.0, (100, 100)),
        Piece("http://host/films/deep/b.mp4", 2.0),
    )


def test_a_live_presentation_has_the_segments_that_are_complete_with_dates() -> None:
    live = 'type="dynamic" availabilityStartTime="2026-03-01T20:00:00Z" timeShiftBufferDepth="PT8S"'
    template = '<SegmentTemplate timescale="1" duration="2" media="$Number$.m4s"/>'
    began = 1_772_395_200.0
    found = segments(mpd(one(template), live), began + 101.5)
    assert [piece.url.rpartition("/")[2] for piece in found] == [
        f"{number}.m4s" for number in (47, 48, 49, 50)
    ]
    assert [piece.date for piece in found] == [began + at for at in (92, 94, 96, 98)]


def test_a_live_presentation_may_have_nothing_yet() -> None:
    live = 'type="dynamic" availabilityStartTime="2026-03-01T20:00:00Z"'
    template = '<SegmentTemplate timescale="1" duration="2" media="$Number$.m4s"/>'
    began = 1_772_395_200.0
    for now in (began - 60, began + 1.9):
        with pytest.raises(NotYet):
            parse(mpd(one(template), live), URL, now)
    assert [piece.counted for piece in segments(mpd(one(template), live), began + 2)] == [True]
    listed = (
        '<SegmentTemplate media="a"><SegmentTimeline><S d="1"/></SegmentTimeline></SegmentTemplate>'
    )
    assert [piece.counted for piece in segments(mpd(one(listed), live), began + 2)] == [False]


def test_the_best_of_each_kind_is_taken() -> None:
    template = '<SegmentTemplate duration="1" media="$RepresentationID$-$Number$"/>'
    text = mpd(
        f'<AdaptationSet mimeType="audio/mp4" lang="en">{template}'
        '<Representation id="low" bandwidth="1"/><Representation id="high" bandwidth="9"/>'
        f'</AdaptationSet><AdaptationSet mimeType="text/vtt">{template}'
        '<Representation id="t" bandwidth="99"/></AdaptationSet>' + one(template)
    )
    tracks = parse(text, URL, NOW).tracks
    assert [(track.kind, track.language) for track in tracks] == [("video", ""), ("audio", "en")]
    assert "high-1" in tracks[1].parts[0].segments[0].url


def timeline(count: int, media: str = "$Number$") -> str:
    return (
        f'<SegmentTemplate media="{media}" timescale="1"><SegmentTimeline>'
        f'<S t="0" d="1" r="{count - 1}"/></SegmentTimeline></SegmentTemplate>'
    )


def heard(language: str, inner: str = "", identity: str = "a") -> str:
    return (
        f'<AdaptationSet mimeType="audio/mp4" lang="{language}">{inner}'
        f'<Representation id="{identity}"/></AdaptationSet>'
    )


def test_of_two_sets_of_a_kind_a_period_plays_one() -> None:
    sets = (
        '<AdaptationSet mimeType="video/mp4"><Representation id="low" bandwidth="1"/>'
        '</AdaptationSet><AdaptationSet mimeType="video/mp4"><Representation id="high" '
        'bandwidth="9"/></AdaptationSet>'
    )
    (track,) = parse(mpd(timeline(3, "$RepresentationID$-$Number$") + sets), URL, NOW).tracks
    (part,) = track.parts
    assert [piece.url.rpartition("/")[2] for piece in part.segments] == [
        "high-1",
        "high-2",
        "high-3",
    ]


def test_a_description_has_one_budget_for_all_its_tracks_and_periods() -> None:
    half = MOST_SEGMENTS // 2
    both = parse(mpd(timeline(half) + one("") + heard("en")), URL, NOW)
    assert [len(track.parts[0].segments) for track in both.tracks] == [half, half]
    # More sounds are left out where the budget ends; the first may not be, and no period.
    more = parse(mpd(timeline(half) + one("") + heard("en") + heard("de")), URL, NOW)
    assert [track.language for track in more.tracks] == ["", "en"]
    with pytest.raises(NotDash, match="more than"):
        parse(mpd(timeline(half + 1) + one("") + heard("en")), URL, NOW)
    with pytest.raises(NotDash, match="more than"):
        parse(
            mpd(f"{timeline(half)}{one('')}</Period><Period>{timeline(half + 1)}{one('')}"),
            URL,
            NOW,
        )


def test_sounds_are_not_without_number() -> None:
    sounds = "".join(heard(f"l{number}") for number in range(100))
    tracks = parse(mpd(timeline(2) + sounds + one("")), URL, NOW).tracks
    assert [track.kind for track in tracks[:2]] == ["video", "audio"]
    assert len(tracks) == 1 + MOST_SOUNDS


@pytest.mark.parametrize(
    "inner",
    [
        timeline(1, "n" * 5_000) + one(""),
        timeline(1, "$RepresentationID$" * 200) + one("").replace("v1", "i" * 4_000),
        timeline(1, "$RepresentationID$" * 50_000) + one("").replace("v1", "i" * 100_000),
        timeline(1, "$Number%099d$" * 300) + one(""),
        f"<BaseURL>{'b' * 5_000}</BaseURL>" + timeline(1) + one(""),
        timeline(10_000, "n" * 4_000) + one(""),
    ],
    ids=["name", "identity", "both", "number", "base", "all together"],
)
def test_addresses_without_end_are_refused_before_they_are_made(inner: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(NotDash, match="letters"):
            parse(mpd(inner), URL, NOW)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_what_is_nested_is_read_once() -> None:
    sets = heard("en", timeline(3)) * 20_000
    nested = "<Period>" * 60 + sets + "</Period>" * 60
    began = time.monotonic()
    with pytest.raises(NotDash):
        parse(mpd(nested), URL, NOW)
    deep = "<AdaptationSet>" * 5_000 + "<Representation/>" * 5_000 + "</AdaptationSet>" * 5_000
    with pytest.raises(NotDash):
        parse(mpd(deep), URL, NOW)
    assert time.monotonic() - began < 10


BOMB = (
    '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<MPD type="static"><Period>&b;</Period></MPD>'
)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no xml",
        b"<html/>",
        BOMB.encode(),
        mpd(""),
        mpd(one("<SegmentTemplate/>")),
        mpd(one('<SegmentTemplate duration="1" timescale="999999999" media="$Number$"/>')),
        mpd(
            one(
                '<SegmentTemplate media="$Time$"><SegmentTimeline>'
                '<S t="0" d="1" r="99999999999"/></SegmentTimeline></SegmentTemplate>'
            )
        ),
        mpd(one("<ContentProtection/>" + '<SegmentTemplate duration="1" media="a"/>')),
    ],
)
def test_what_cannot_be_played_is_said_so(text: bytes) -> None:
    with pytest.raises(NotDash):
        parse(text, URL, NOW)


def served(nginx: Nginx, folder: Path, text: bytes) -> Watched:
    (nginx.root / folder.name).mkdir(exist_ok=True)
    (nginx.root / folder.name / "film.mpd").write_bytes(text)
    return watch(f"{nginx.http}/{folder.name}/film.mpd")


def test_a_description_reaches_only_http(nginx: Nginx, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    inner = f"<BaseURL>file://{tmp_path}/</BaseURL>"
    text = mpd(inner + one('<SegmentTemplate duration="5" media="secret.mp4"/>'))
    assert isinstance(served(nginx, tmp_path, text).error, SourceForbidden)
    protected = mpd(one('<ContentProtection/><SegmentTemplate duration="1" media="a"/>'))
    assert isinstance(served(nginx, tmp_path, protected).error, SourceUnsupported)
    assert isinstance(served(nginx, tmp_path, b"<MPD/>").error, NotMedia)


def packaged(nginx: Nginx, film: Path, log: Path, *options: str) -> Path:
    """A film of six segments in a folder of the server's; its description."""
    folder = nginx.root / log.parent.name
    folder.mkdir()
    command: list[str | Path] = ["ffmpeg", "-loglevel", "error", "-i", film]
    command += ["-c", "copy", "-f", "dash"]
    description = folder / "film.mpd"
    process = Process([*command, "-seg_duration", "1", *options, description], log)
    until(lambda: process.ended, "a packaged film")
    return description


@pytest.mark.parametrize(
    "options",
    [
        ("-use_timeline", "1"),
        ("-use_timeline", "0"),
        ("-use_timeline", "0", "-use_template", "0"),
        ("-single_file", "1", "-use_template", "0"),
    ],
    ids=["timeline", "numbers", "list", "one file"],
)
def test_on_demand_is_read_whole(
    nginx: Nginx, known_film: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    packaged(nginx, known_film, tmp_path / "log", *options)
    found = watch(f"{nginx.http}/moved/{tmp_path.name}/film.mpd")
    assert (found.error, found.pictures, found.live) == (None, 150, False)
    assert found.sounds > 200
    first = found.starts[0].start.seconds
    for cut, true in zip(found.cuts(), CUTS, strict=True):
        assert abs(cut - first - true) < FRAME


COUNTED = ("-use_timeline", "0")
LAST = (sum(SHOTS) - 1) * FRAME


def begun(description: Path, seconds: float) -> str:
    """Says of a packaged film that it has been live for some seconds; what was said before."""
    static = description.read_text()
    at = datetime.fromtimestamp(time.time() - seconds, UTC).isoformat()
    live = f'type="dynamic" availabilityStartTime="{at}"'
    text = static.replace('type="static"', live)
    replace(description, re.sub('mediaPresentationDuration="[^"]*"', "", text))
    return static


def replace(description: Path, text: str) -> None:
    """At once, as packagers do it."""
    new = description.with_suffix(".new")
    new.write_text(text)
    new.rename(description)


def missed(nginx: Nginx, name: str) -> bool:
    """Whether somebody asked for what is not there."""
    return name in (nginx.root.parent / "error.log").read_text()


@contextmanager
def watching(nginx: Nginx, description: Path) -> Iterator[Future[Watched]]:
    where = f"{nginx.http}/{description.parent.name}/{description.name}"
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(watch, where, stall_seconds=8.0)


def test_a_counted_segment_may_come_late(nginx: Nginx, known_film: Path, tmp_path: Path) -> None:
    description = packaged(nginx, known_film, tmp_path / "log", *COUNTED)
    last = description.parent / "chunk-stream0-00006.m4s"
    hidden = last.rename(tmp_path / last.name)
    static = begun(description, 4.2)
    with watching(nginx, description) as running:
        until(lambda: missed(nginx, f"{tmp_path.name}/{last.name}"), "asked too early")
        hidden.rename(last)
        replace(description, static)
        found = running.result(60)
    assert found.error is None
    assert abs(found.last - LAST) < FRAME


def test_a_presentation_may_end_before_a_counted_segment(
    nginx: Nginx, known_film: Path, tmp_path: Path
) -> None:
    description = packaged(nginx, known_film, tmp_path / "log", *COUNTED)
    static = begun(description, 5.2)
    with watching(nginx, description) as running:
        until(lambda: missed(nginx, f"{tmp_path.name}/chunk-stream0-00007.m4s"), "one too many")
        replace(description, static)
        found = running.result(60)
    assert (found.error, found.live) == (None, True)
    assert abs(found.last - LAST) < FRAME


def test_a_counted_segment_that_never_comes_ends_the_connection(
    nginx: Nginx, known_film: Path, tmp_path: Path
) -> None:
    description = packaged(nginx, known_film, tmp_path / "log", *COUNTED)
    begun(description, 5.2)
    with watching(nginx, description) as running:
        found = running.result(60)
    assert isinstance(found.error, SourceNotFound)
    assert abs(found.last - LAST) < FRAME


@pytest.mark.parametrize("began", ["0001-01-01T00:00:00Z", "2026-03-01T20:00:00Z"])
def test_a_segment_at_a_time_that_cannot_be_has_none(
    nginx: Nginx, known_film: Path, tmp_path: Path, began: str
) -> None:
    description = packaged(nginx, known_film, tmp_path / "log", "-use_timeline", "1")
    live = f'type="dynamic" availabilityStartTime="{began}"'
    text = description.read_text().replace('type="static"', live)
    replace(
        description,
        re.sub('presentationTimeOffset="[^"]*"', "", text).replace(
            "<SegmentTemplate ", '<SegmentTemplate presentationTimeOffset="-99999999999999999" '
        ),
    )
    found = watch(f"{nginx.http}/{tmp_path.name}/film.mpd")
    assert found.pictures > 25
    assert {picture.wallclock for picture in found.starts.values()} == {None}


def test_a_presentation_that_has_not_begun_is_unreachable(
    nginx: Nginx, known_film: Path, tmp_path: Path
) -> None:
    description = packaged(nginx, known_film, tmp_path / "log", *COUNTED)
    begun(description, -60)
    source = open_source(f"{nginx.http}/{tmp_path.name}/film.mpd", SourceSection())
    with (
        pytest.raises(SourceUnreachable, match="no segments yet"),
        Decoder(source, DecodeOptions()),
    ):
        pass
