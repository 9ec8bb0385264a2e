"""Nothing hangs: silence, half answers and garbage end in time, and so does a call to stop."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources.registry import open_source
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import (
    SourceClosed,
    SourceEmpty,
    SourceError,
    SourceStalled,
    SourceUnreachable,
)
from streamer.timeline import Picture
from tests.servers import film
from tests.servers.process import HOST, free_port
from tests.servers.rtsp import RtspServer
from tests.servers.sender import send
from tests.servers.silent import Misbehaving, request
from tests.waiting import until

QUICK = SourceSection(open_seconds=0.6, stall_seconds=0.6)
SLACK = 1.5
ADDRESSES = (
    "http://{}/film.ts",
    "http://{}/film.m3u8",
    "rtsp://{}/film",
    "rtmp://{}/live/film",
)


def decoder_for(location: str, settings: SourceSection = QUICK) -> Decoder:
    return Decoder(open_source(location, settings), DecodeOptions(threads=1))


def demux_threads() -> int:
    return sum(thread.name == "demux" for thread in threading.enumerate())


@pytest.mark.parametrize("address", ADDRESSES)
def test_who_accepts_and_never_answers_is_given_up(address: str) -> None:
    with Misbehaving() as server:
        began = time.monotonic()
        with pytest.raises(SourceUnreachable), decoder_for(address.format(f"{HOST}:{server.port}")):
            pass
        took = time.monotonic() - began
    assert 0.5 < took < 0.6 + SLACK
    # What was left behind ends by the demuxer's own time limit.
    until(lambda: demux_threads() == 0, "no thread is left")


@pytest.mark.parametrize("address", [*ADDRESSES, "udp://{}"])
def test_stop_ends_an_opening_at_once(address: str) -> None:
    patient = SourceSection(open_seconds=30.0, stall_seconds=30.0)
    with Misbehaving() as server:
        port = free_port(socket.SOCK_DGRAM) if address.startswith("udp") else server.port
        decoder = decoder_for(address.format(f"{HOST}:{port}"), patient)
        stopped: list[float] = []

        def stop() -> None:
            if not address.startswith("udp"):
                until(lambda: server.asked > 0, "somebody asks")
            stopped.append(time.monotonic())
            decoder.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(SourceEmpty, match="stopped"), decoder:
            pass
        assert time.monotonic() - stopped[0] < 1.0
        stopper.join()


@pytest.mark.parametrize("address", [*ADDRESSES, "udp://{}"])
def test_nobody_there_is_said_so(address: str) -> None:
    port = free_port(socket.SOCK_DGRAM if address.startswith("udp") else socket.SOCK_STREAM)
    began = time.monotonic()
    with pytest.raises(SourceUnreachable), decoder_for(address.format(f"{HOST}:{port}")):
        pass
    assert time.monotonic() - began < 0.6 + SLACK


def answering(head: str, body: bytes) -> Misbehaving:
    def behave(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(head.encode() + b"\r\n\r\n" + body)

    return Misbehaving(behave)


@pytest.fixture(scope="module")
def broadcast(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ts") / "film.ts"
    film.write(path)
    return path.read_bytes()


def decode(location: str, settings: SourceSection = QUICK) -> tuple[int, SourceError]:
    pictures = 0
    try:
        with decoder_for(location, settings) as decoder:
            for item in decoder:
                pictures += isinstance(item, Picture)
    except SourceError as error:
        return pictures, error
    raise AssertionError("it ended well")


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfilm.ts\n#EXT-X-ENDLIST\n"
DESCRIPTION = (
    b'<MPD><Period><AdaptationSet mimeType="video/mp4"><SegmentList>'
    b'<SegmentURL media="film.ts"/></SegmentList><Representation/></AdaptationSet></Period></MPD>'
)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Dripping:
    """Answers whole but for one address, there with a byte now and then until the other goes.

    Args:
        path: Of the address that drips.
        head: What is sent at once there.
        drop: What is sent again and again.
    """

    def __init__(self, path: bytes, head: bytes, drop: bytes) -> None:
        self._path, self._head, self._drop = path, head, drop
        self.dripping = self.dripped = 0

    def __call__(self, connection: socket.socket) -> None:
        path = request(connection).split()[1]
        if path != self._path:
            body = DESCRIPTION if path.endswith(b"mpd") else PLAYLIST
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            connection.close()
            return
        self.dripping += 1
        try:
            connection.sendall(self._head)
            while True:
                connection.sendall(self._drop)
                time.sleep(0.05)
        finally:
            self.dripped += 1


@pytest.mark.parametrize(
    ("address", "path", "head", "drop"),
    [
        ("film.m3u8", b"/film.m3u8", CHUNKED, b"1\r\n#\r\n"),
        ("film.m3u8", b"/film.ts", CHUNKED, b"1\r\nG\r\n"),
        ("film.m3u8", b"/film.ts", CHUNKED, b"0"),
        ("film.m3u8", b"/film.ts", b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        ("film.mpd", b"/film.mpd", CHUNKED, b"1\r\n \r\n"),
        ("film.mpd", b"/film.ts", CHUNKED, b"1\r\nG\r\n"),
        ("film.ts", b"/film.ts", b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        ("film.ts", b"/film.ts", b"HTTP/1.1 200 OK\r\n\r\n", b"G"),
    ],
    ids=[
        "playlist",
        "segment",
        "length of a segment",
        "head of a segment",
        "description",
        "segment of a description",
        "head",
        "feed",
    ],
)
def test_who_sends_a_byte_now_and_then_keeps_nothing(
    address: str, path: bytes, head: bytes, drop: bytes
) -> None:
    drip = Dripping(path, head, drop)
    before = set(threading.enumerate())
    with Misbehaving(drip) as server:
        began = time.monotonic()
        decoder = decoder_for(f"http://{HOST}:{server.port}/{address}")
        with pytest.raises(SourceError), decoder:
            list(decoder)
        assert time.monotonic() - began < 2 * 0.6 + SLACK
        names = {"demux", "ask"}
        until(
            lambda: all(t in before for t in threading.enumerate() if t.name in names),
            "no thread is left",
        )
        until(lambda: drip.dripped == drip.dripping, "no connection is left")
    assert drip.dripping > 0


def test_an_endless_stream_that_falls_silent_is_stalled_after_all_it_gave(broadcast: bytes) -> None:
    settings = SourceSection(open_seconds=5.0, stall_seconds=0.6)
    with answering("HTTP/1.1 200 OK\r\nContent-Type: video/mp2t", broadcast) as server:
        pictures, error = decode(f"http://{HOST}:{server.port}/live", settings)
    assert type(error) is SourceStalled
    assert pictures >= 147  # a broadcast does not say where its last picture ends


def test_garbage_is_no_progress(broadcast: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + broadcast)
        packet = bytes([0x47, 0x01, 0x00, 0x10]) + bytes(range(184))
        while True:
            connection.sendall(packet * 100)

    settings = SourceSection(open_seconds=5.0, stall_seconds=0.6)
    with Misbehaving(behave) as server:
        began = time.monotonic()
        pictures, error = decode(f"http://{HOST}:{server.port}/live", settings)
    assert isinstance(error, (SourceStalled, SourceClosed))
    assert pictures > 100
    assert time.monotonic() - began < 20


def test_a_film_that_breaks_off_is_taken_up_again(known_film: Path) -> None:
    whole = known_film.read_bytes()

    def behave(connection: socket.socket) -> None:
        head = request(connection).decode()
        first = int(head.partition("bytes=")[2].partition("-")[0])
        total = len(whole)
        connection.sendall(
            f"HTTP/1.1 206 Partial Content\r\nContent-Length: {total - first}\r\n"
            f"Content-Range: bytes {first}-{total - 1}/{total}\r\n\r\n".encode()
        )
        connection.sendall(whole[first : first + len(whole) // 3])
        connection.shutdown(socket.SHUT_RDWR)

    with Misbehaving(behave) as server:
        url = f"http://{HOST}:{server.port}/film.mkv"
        with decoder_for(url, SourceSection(open_seconds=5.0)) as decoder:
            assert not decoder.live
            assert sum(isinstance(item, Picture) for item in decoder) == 150
        assert server.asked > 3


def test_a_film_whose_index_is_at_its_end_is_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    film.write(path)
    whole = path.read_bytes()
    assert whole.index(b"moov") > whole.index(b"mdat")

    def behave(connection: socket.socket) -> None:
        while head := request(connection).decode():
            first = int(head.partition("bytes=")[2].partition("-")[0])
            connection.sendall(
                f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(whole) - first}\r\n"
                f"Content-Range: bytes {first}-{len(whole) - 1}/{len(whole)}\r\n\r\n".encode()
            )
            connection.sendall(whole[first:])

    with Misbehaving(behave) as server:
        url = f"http://{HOST}:{server.port}/film.mp4"
        with decoder_for(url, SourceSection(open_seconds=5.0)) as decoder:
            assert sum(isinstance(item, Picture) for item in decoder) == 150


def test_a_film_without_ranges_that_breaks_off_is_an_error(known_film: Path) -> None:
    whole = known_film.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(whole)}\r\nConnection: close"

    def behave(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(head.encode() + b"\r\n\r\n" + whole[: len(whole) // 2])
        connection.shutdown(socket.SHUT_RDWR)

    with Misbehaving(behave) as server:
        pictures, error = decode(f"http://{HOST}:{server.port}/film.mkv")
    assert isinstance(error, SourceClosed)
    assert pictures > 20


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_freezes_is_stalled(known_film: Path, tmp_path: Path, transport: str) -> None:
    server = RtspServer(tmp_path, known_film)
    settings = SourceSection.model_validate({"stall_seconds": 0.6, "rtsp_transport": transport})
    try:
        decoder = decoder_for(f"rtsp://{server.where}", settings)
        pictures = 0
        frozen = 0.0
        with decoder, pytest.raises(SourceStalled):  # noqa: PT012  (the freeze comes on the way)
            for item in decoder:
                pictures += isinstance(item, Picture)
                if pictures == 30 and not frozen:
                    server.signal(signal.SIGSTOP)
                    frozen = time.monotonic()
        assert time.monotonic() - frozen < 0.6 + SLACK
        assert pictures < 150
    finally:
        server.signal(signal.SIGCONT)
        server.stop()


def test_stop_ends_a_waiting_read_at_once(known_film: Path, tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    patient = SourceSection(stall_seconds=60.0)
    sender = send(known_film, f"udp://{HOST}:{port}", tmp_path / "log", "-f", "mpegts")
    pictures = 0
    stopped: list[float] = []

    def stop() -> None:
        until(lambda: sender.ended, "nobody sends any more")
        stopped.append(time.monotonic())
        decoder.stop()

    stopper = threading.Thread(target=stop)
    decoder = decoder_for(f"udp://{HOST}:{port}", patient)
    with decoder:
        for item in decoder:
            pictures += isinstance(item, Picture)
            if pictures == 10 and not stopper.is_alive():
                sender.stop()
                stopper.start()
                pictures += 1
    assert time.monotonic() - stopped[0] < 1.0
    assert pictures > 10
    stopper.join()
