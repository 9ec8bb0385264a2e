from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sources.mpd import parse
from connectors.sources.segments import NotDash, Piece
from streamer.errors import NotMedia, SourceForbidden, SourceUnsupported
from tests.servers.film import FRAME, SHOTS, Watched, watch
from tests.servers.nginx import Nginx
from tests.servers.process import Process, until

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
    folder = nginx.root / tmp_path.name
    folder.mkdir()
    command = ["ffmpeg", "-loglevel", "error", "-i", known_film, "-c", "copy", "-f", "dash"]
    process = Process(
        [*command, "-seg_duration", "1", *options, folder / "film.mpd"], tmp_path / "log"
    )
    until(lambda: process.ended, "a packaged film")
    found = watch(f"{nginx.http}/moved/{tmp_path.name}/film.mpd")
    assert (found.error, found.pictures, found.live) == (None, 150, False)
    assert found.sounds > 200
    first = found.starts[0].start.seconds
    for cut, true in zip(found.cuts(), CUTS, strict=True):
        assert abs(cut - first - true) < FRAME
