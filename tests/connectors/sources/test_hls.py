"""Playlists on demand, whose dates and cuts are known exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from streamer.errors import SourceEmpty
from streamer.timeline import Picture
from tests.servers import film
from tests.servers.film import FRAME, SHOTS, watch
from tests.servers.nginx import Nginx
from tests.servers.process import Process
from tests.waiting import until

BEGAN = datetime(2026, 3, 1, 20, 15, tzinfo=UTC)
CUTS = [Fraction(sum(SHOTS[:shot]), 25) for shot in range(1, len(SHOTS))]


def packaged(source: Path, folder: Path, name: str, *options: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    common = ("-hls_time", "1", "-hls_list_size", "0", "-hls_playlist_type", "vod")
    command: list[str | Path] = ["ffmpeg", "-loglevel", "error", "-i", source]
    command += [*options, "-f", "hls", *common]
    process = Process([*command, folder / name], folder / "log")
    until(lambda: process.ended, "a packaged film")
    return (folder / name).read_text()


def first_cuts(starts: dict[int, Picture]) -> list[Fraction]:
    first = starts[0].start.seconds
    return [starts[shot].start.seconds - first for shot in range(1, len(SHOTS))]


@pytest.mark.parametrize(
    "options",
    [
        ("-c", "copy"),
        ("-c", "copy", "-hls_segment_type", "fmp4"),
        ("-c", "copy", "-hls_flags", "single_file"),
        ("-c", "copy", "-hls_segment_type", "fmp4", "-hls_flags", "single_file"),
    ],
    ids=["ts", "mp4", "ranges", "mp4 ranges"],
)
def test_on_demand_is_read_whole(
    nginx: Nginx, known_film: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = nginx.root / tmp_path.name
    packaged(known_film, folder, "film.m3u8", *options)
    found = watch(f"{nginx.http}/{tmp_path.name}/film.m3u8")
    assert found.error is None
    assert (found.pictures, found.live) == (150, False)
    assert all(abs(a - b) < FRAME for a, b in zip(first_cuts(found.starts), CUTS, strict=True))
    assert found.info is not None
    assert found.info.duration == pytest.approx(6, abs=0.2)


def test_encrypted_segments_are_decrypted(nginx: Nginx, known_film: Path, tmp_path: Path) -> None:
    folder = nginx.root / tmp_path.name
    folder.mkdir()
    (folder / "film.key").write_bytes(bytes(range(16)))
    info = tmp_path / "info"
    info.write_text(f"film.key\n{folder / 'film.key'}\n")
    text = packaged(known_film, folder, "film.m3u8", "-c", "copy", "-hls_key_info_file", str(info))
    assert "METHOD=AES-128" in text
    found = watch(f"{nginx.http}/{tmp_path.name}/film.m3u8")
    assert (found.error, found.pictures, found.live) == (None, 150, False)
    assert all(abs(a - b) < FRAME for a, b in zip(first_cuts(found.starts), CUTS, strict=True))
    # With another key there is nothing to see.
    (folder / "film.key").write_bytes(bytes(16))
    assert watch(f"{nginx.http}/{tmp_path.name}/film.m3u8").error is not None


def test_redirected_playlists_and_variants_find_their_parts(
    nginx: Nginx, known_film: Path, tmp_path: Path
) -> None:
    folder = nginx.root / tmp_path.name
    packaged(known_film, folder / "high", "film.m3u8", "-map", "0:v", "-c", "copy")
    packaged(known_film, folder / "sound", "film.m3u8", "-map", "0:a", "-c", "copy")
    (folder / "master.m3u8").write_text(
        "#EXTM3U\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="main",DEFAULT=YES,URI="sound/film.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=200000,RESOLUTION=192x108,AUDIO="a"\nhigh/film.m3u8\n'
    )
    # Elsewhere, so that relative addresses count from where the redirection leads.
    found = watch(f"{nginx.http}/moved/{tmp_path.name}/master.m3u8")
    assert (found.error, found.pictures, found.live) == (None, 150, False)
    assert found.sounds > 200


def dated(text: str, offsets: list[tuple[int, timedelta]]) -> str:
    """Puts a date, and but for the first a discontinuity, before some segments."""
    lines, number = [], 0
    for line in text.splitlines():
        if line.startswith("#EXTINF"):
            for segment, offset in offsets:
                if segment == number:
                    lines += ["#EXT-X-DISCONTINUITY"] * bool(number)
                    at = (BEGAN + offset).isoformat(timespec="milliseconds")
                    lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{at}")
            number += 1
        lines.append(line)
    return "\n".join(lines) + "\n"


def test_program_dates_are_the_wall_clock(nginx: Nginx, known_film: Path, tmp_path: Path) -> None:
    folder = nginx.root / tmp_path.name
    text = packaged(known_film, folder, "film.m3u8", "-c", "copy")
    (folder / "dated.m3u8").write_text(dated(text, [(0, timedelta())]))
    found = watch(f"{nginx.http}/{tmp_path.name}/dated.m3u8")
    for shot, cut in enumerate(CUTS, start=1):
        real = found.starts[shot].wallclock
        assert real is not None
        assert real - BEGAN.timestamp() == pytest.approx(float(cut), abs=float(FRAME))


def test_a_program_that_goes_on_later_keeps_its_dates(nginx: Nginx, tmp_path: Path) -> None:
    folder = nginx.root / tmp_path.name
    film.write(tmp_path / "film.mkv")
    text = packaged(tmp_path / "film.mkv", folder, "film.m3u8", "-c", "copy")
    again = packaged(tmp_path / "film.mkv", folder, "again.m3u8", "-c", "copy")
    segments = text.count("#EXTINF")
    tail = again[again.index("#EXTINF") :]
    both = text.replace("#EXT-X-ENDLIST\n", "") + tail
    pause = timedelta(minutes=10)
    (folder / "both.m3u8").write_text(dated(both, [(0, timedelta()), (segments, pause)]))
    found = watch(f"{nginx.http}/{tmp_path.name}/both.m3u8")
    assert found.error is None
    assert found.pictures == 300
    ends = found.final
    assert ends is not None
    assert ends.wallclock is not None
    last = 600 + float(sum(SHOTS) - 1) / 25
    assert ends.wallclock - BEGAN.timestamp() == pytest.approx(last, abs=2 * float(FRAME))


@pytest.mark.parametrize(
    "date",
    [
        "9999-12-31T23:59:58Z",
        "9999-12-31T23:59:58",
        "9999-12-31T23:59:59.999-14:00",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "1970-01-01T00:00:10Z",
        "2200-01-01T00:00:00Z",
    ],
)
def test_a_program_date_that_cannot_be_is_none(nginx: Nginx, tmp_path: Path, date: str) -> None:
    folder = nginx.root / tmp_path.name
    folder.mkdir()
    film.write(folder / "film.ts")
    (folder / "dated.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:6\n"
        f"#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:6,\nfilm.ts\n#EXT-X-ENDLIST\n"
    )
    found = watch(f"{nginx.http}/{tmp_path.name}/dated.m3u8")
    assert found.error is None
    assert found.pictures >= 147
    assert [picture.wallclock for picture in found.starts.values()] == [None] * len(SHOTS)


def test_a_playlist_that_names_nothing_is_no_film(nginx: Nginx) -> None:
    (nginx.root / "empty.m3u8").write_text("#EXTM3U\n#EXT-X-ENDLIST\n")
    found = watch(f"{nginx.http}/empty.m3u8")
    assert isinstance(found.error, SourceEmpty)
