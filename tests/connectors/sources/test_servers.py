"""Every kind of address against a real server; all at the same time, because each is slow."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamer.errors import SourceClosed, SourceStalled
from tests.servers.authority import Authority
from tests.servers.film import FRAME, SHOTS, Watched, watch
from tests.servers.nginx import Nginx
from tests.servers.process import HOST, Process, free_port, receives
from tests.servers.rtsp import RtspServer
from tests.servers.sender import send
from tests.waiting import until

SEGMENTS = ("-f", "hls", "-hls_time", "1", "-hls_list_size", "4")
DATED = ("-hls_flags", "program_date_time+delete_segments")
DASH = ("-f", "dash", "-seg_duration", "1")
NUMBERS = ("-use_template", "1", "-use_timeline", "0")


@pytest.fixture(scope="module")
def watched(
    nginx: Nginx, known_film: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Watched]]]:
    folder = tmp_path_factory.mktemp("live")
    udp, rtp = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    description = folder / "film.sdp"
    live = nginx.root / "live"
    for kind in ("dash", "numbers"):
        (live / kind).mkdir(parents=True)
    authority = Authority(folder / "tls")
    with ExitStack() as stack:
        rtsp = RtspServer(folder, known_film)
        stack.callback(rtsp.stop)
        again = RtspServer(folder, known_film)
        stack.callback(again.stop)
        safe = RtspServer(folder, known_film, authority=authority)
        stack.callback(safe.stop)

        def sender(target: str | Path, *options: str) -> Process:
            log = folder / f"{len(list(folder.iterdir()))}.log"
            started = send(known_film, str(target), log, *options)
            stack.callback(started.stop)
            return started

        def later(name: str) -> Watched:
            # A playlist with too few segments would be read from its start.
            playlist = live / name
            until(lambda: playlist.exists() and playlist.read_text().count("#EXTINF") > 2, name)
            return watch(f"{nginx.http}/live/{name}")

        def dash(kind: str) -> Watched:
            until((live / kind / "film.mpd").exists, "a DASH description")
            return watch(f"{nginx.http}/live/{kind}/film.mpd")

        picture, sound = two_ports()

        def rtp_by_two(*options: str) -> Process:
            shown = ("-map", "0:v", *options, "-f", "rtp", "-sdp_file", str(description))
            heard = ("-map", "0:a", "-c", "copy", *options, "-f", "rtp")
            return sender(f"rtp://{HOST}:{sound}", *shown, f"rtp://{HOST}:{picture}", *heard)

        # The sender reports with its first datagram, and then not for five seconds.
        describing = rtp_by_two("-t", "0.1")
        until(lambda: describing.ended, "a session description")
        with ThreadPoolExecutor(16) as pool:
            running = {
                "udp": pool.submit(watch, f"udp://{HOST}:{udp}"),
                "rtp": pool.submit(watch, f"rtp://{HOST}:{rtp}"),
                "sdp": pool.submit(watch, str(description)),
                "rtmp": pool.submit(watch, f"{nginx.rtmp}/film"),
                "rtmps": pool.submit(watch, f"{nginx.rtmps}/film", ca_file=nginx.authority.file),
                "rtsps": pool.submit(watch, f"rtsps://{safe.where}", ca_file=authority.file),
                "rtsp": pool.submit(watch, f"rtsp://{rtsp.where}"),
                "rtsp udp": pool.submit(
                    watch, f"rtsp://{again.where}", rtsp_transport="udp", stall_seconds=4.0
                ),
                "hls": pool.submit(later, "dated.m3u8"),
                "dash": pool.submit(dash, "dash"),
                "dash numbers": pool.submit(dash, "numbers"),
            }
            sender(f"udp://{HOST}:{udp}?pkt_size=1316", "-f", "mpegts")
            sender(f"rtp://{HOST}:{rtp}", "-f", "rtp_mpegts")
            sender(f"{nginx.rtmp}/film", "-f", "flv")
            sender(live / "dated.m3u8", *SEGMENTS, *DATED)
            sender(live / "dash" / "film.mpd", *DASH)
            sender(live / "numbers" / "film.mpd", *DASH, *NUMBERS)
            until(lambda: all(map(receives, (picture, picture + 1, sound, sound + 1))), "RTP")
            rtp_by_two()
            yield running
    shutil.rmtree(live)


def two_ports() -> tuple[int, int]:
    """Each with the next one free for its reports."""
    first = free_port(socket.SOCK_DGRAM)
    while abs((second := free_port(socket.SOCK_DGRAM)) - first) < 2:
        pass
    return first, second


TIMED = ["rtsp", "rtsps", "rtsp udp", "hls", "dash", "dash numbers", "sdp"]
LIVE = ["udp", "rtp", "rtmp", "rtmps", *TIMED]


@pytest.mark.parametrize("kind", LIVE)
def test_cuts_come_when_they_were_made(watched: dict[str, Future[Watched]], kind: str) -> None:
    found = watched[kind].result(120)
    assert found.exact(), found.cuts()
    assert found.sounds > 50
    assert found.pictures > sum(SHOTS[1:])


@pytest.mark.parametrize("kind", LIVE)
def test_it_is_known_to_be_live(watched: dict[str, Future[Watched]], kind: str) -> None:
    found = watched[kind].result(120)
    info = found.info
    assert found.live
    assert info is not None
    assert (info.width, info.height, info.picture_codec) == (192, 108, "h264")
    assert (info.sound_codec, info.duration) == ("aac", None)


@pytest.mark.parametrize("kind", TIMED)
def test_real_time_is_the_sender_s(watched: dict[str, Future[Watched]], kind: str) -> None:
    found = watched[kind].result(120)
    # Reports come with the first seconds of a session: the last shot is after them.
    assert found.final is not None
    shown = found.starts[3], found.final
    sent: list[float] = []
    for picture in shown:
        assert picture.wallclock is not None
        assert picture.arrival is not None
        # One machine, one clock: sent before it arrived, and not long before.
        assert -0.1 < picture.arrival - picture.wallclock < 8
        sent.append(picture.wallclock)
    media = float(shown[1].start.seconds - shown[0].start.seconds)
    assert sent[1] - sent[0] == pytest.approx(media, abs=float(FRAME))


@pytest.mark.parametrize("kind", ["udp", "rtp"])
def test_who_says_no_time_has_none_but_that_of_arrival(
    watched: dict[str, Future[Watched]], kind: str
) -> None:
    found = watched[kind].result(120)
    assert all(picture.wallclock is None for picture in found.starts.values())
    assert all(picture.arrival for picture in found.starts.values())
    # It was sent in real time, so that media time and arrival agree.
    assert found.drift == pytest.approx(0.0, abs=1.5)


def test_a_report_that_is_heard_dates_every_picture(watched: dict[str, Future[Watched]]) -> None:
    found = watched["sdp"].result(120)
    assert all(picture.wallclock is not None for picture in found.starts.values())


def test_a_live_input_that_ends_says_how(watched: dict[str, Future[Watched]]) -> None:
    assert isinstance(watched["rtmp"].result(120).error, SourceClosed)
    assert isinstance(watched["rtsps"].result(120).error, SourceClosed)
    assert isinstance(watched["udp"].result(120).error, SourceStalled)
    # A playlist that says that it is over is no fault.
    assert watched["hls"].result(120).error is None
    assert watched["dash numbers"].result(120).error is None
