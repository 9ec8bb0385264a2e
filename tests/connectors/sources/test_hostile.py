"""Playlists that reach for what is not theirs, sizes without end, and secrets that must stay in."""

from __future__ import annotations

import logging
import socket
import ssl
import traceback
from pathlib import Path

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources.registry import open_source
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import (
    NotMedia,
    SourceError,
    SourceForbidden,
    SourceInterrupted,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
)
from tests.servers import film
from tests.servers.authority import Authority
from tests.servers.film import watch
from tests.servers.nginx import Nginx
from tests.servers.process import HOST
from tests.servers.rtsp import RtspServer
from tests.servers.silent import Misbehaving, request

LIMITS = SourceSection(open_seconds=3.0, stall_seconds=1.0)
HEAD = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n"
END = "#EXT-X-ENDLIST\n"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A film on this machine that no playlist may show."""
    path = tmp_path / "secret.ts"
    film.write(path)
    return path


def opened(location: str, settings: SourceSection = LIMITS) -> int:
    with Decoder(open_source(location, settings), DecodeOptions(threads=1)) as decoder:
        return sum(1 for _ in decoder)


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTINF:2,\nfile://{path}\n",
        "#EXTINF:2,\n{path}\n",
        "#EXTINF:2,\nconcat:{path}\n",
        "#EXTINF:2,\nsubfile,,start,0,end,1000,,:{path}\n",
        '#EXT-X-MAP:URI="file://{path}"\n#EXTINF:2,\nfilm.ts\n',
        '#EXT-X-KEY:METHOD=AES-128,URI="file://{path}"\n#EXTINF:2,\nfilm.ts\n',
        "#EXT-X-STREAM-INF:BANDWIDTH=1\nfile://{path}\n",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="file://{path}"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\nlist.m3u8\n',
        "#EXTINF:2,\ntcp://127.0.0.1:1/x.ts\n",
        "#EXTINF:2,\ndata:video/mp2t;base64,R0A=\n",
        "#EXTINF:2,\nftp://127.0.0.1/x.ts\n",
    ],
)
def test_a_playlist_reaches_only_http(nginx: Nginx, secret: Path, playlist: str) -> None:
    text = playlist.format(path=secret)
    (nginx.root / "film.ts").write_bytes(b"")
    (nginx.root / "key.bin").write_bytes(bytes(16))
    (nginx.root / "hostile.m3u8").write_text(HEAD + text + END)
    with pytest.raises(SourceError) as caught:
        opened(f"{nginx.http}/hostile.m3u8")
    # What has no scheme is a path of the server's, and not there.
    assert isinstance(caught.value, (SourceForbidden, SourceNotFound))
    assert str(secret) not in str(caught.value)


def test_a_local_playlist_is_no_film(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "list.m3u8").write_text(f"{HEAD}#EXTINF:2,\n{secret}\n{END}")
    with pytest.raises(NotMedia):
        opened(str(tmp_path / "list.m3u8"))
    with pytest.raises(NotMedia):
        opened(f"file://{tmp_path}/list.m3u8")


def test_a_segment_cannot_be_another_playlist(nginx: Nginx, secret: Path) -> None:
    inner = f"ffconcat version 1.0\nfile {secret}\n"
    (nginx.root / "inner.ts").write_text(inner)
    (nginx.root / "outer.m3u8").write_text(f"{HEAD}#EXTINF:2,\ninner.ts\n{END}")
    with pytest.raises(SourceError):
        opened(f"{nginx.http}/outer.m3u8")


def test_a_redirection_cannot_leave_http(secret: Path) -> None:
    def behave(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(
            f"HTTP/1.1 302 Found\r\nLocation: file://{secret}\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )

    with Misbehaving(behave) as server:
        with pytest.raises(SourceInterrupted) as caught:
            opened(f"http://{HOST}:{server.port}/film.ts")
        assert str(secret) not in str(caught.value)


def test_a_playlist_without_end_is_cut_off(nginx: Nginx) -> None:
    (nginx.root / "huge.m3u8").write_text(HEAD + "#EXTINF:2,\nfilm.ts\n" * 100_000)
    limits = SourceSection(max_playlist_bytes=100_000)
    with pytest.raises(SourceForbidden, match="max_playlist_bytes"):
        opened(f"{nginx.http}/huge.m3u8", limits)


def told(error: BaseException, capfd: pytest.CaptureFixture[str], log: str) -> str:
    out, err = capfd.readouterr()
    lines = "".join(traceback.format_exception(error))
    return out + err + log + lines + repr(error)


@pytest.mark.parametrize("place", ["http", "rtsp", "rtmp", "hls", "dead"])
def test_a_password_is_never_told(
    place: str,
    nginx: Nginx,
    known_film: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    login = "alice:tr0ub4dor%263"
    private = nginx.root / "private"
    private.mkdir(exist_ok=True)
    (private / "film.m3u8").write_text(HEAD + END)
    rtsp = RtspServer(tmp_path, known_film, ("alice", "wonder land")) if place == "rtsp" else None
    where = {
        "http": f"http://{login}@{HOST}:{nginx.http_port}/private/film.ts?token=s3same",
        "hls": f"http://{login}@{HOST}:{nginx.http_port}/private/film.m3u8?token=s3same",
        "rtsp": f"rtsp://{login}@{rtsp.where}?token=s3same" if rtsp else "",
        "rtmp": f"rtmp://{login}@{HOST}:{nginx.rtmp_port}/live/k3ysame?token=s3same",
        "dead": f"rtsp://{login}@{HOST}:1/film?token=s3same",
    }[place]
    try:
        source = open_source(where, LIMITS)
        with pytest.raises(SourceError) as caught:
            opened(where)
    finally:
        if rtsp:
            rtsp.stop()
    if place in {"http", "hls", "rtsp"}:
        assert isinstance(caught.value, SourceRefused)
    text = told(caught.value, capfd, caplog.text) + source.name
    for part in ("tr0ub4dor", "s3same", "alice", "k3ysame"):
        assert part not in text


def test_the_right_password_opens(nginx: Nginx, known_film: Path, tmp_path: Path) -> None:
    private = nginx.root / "private"
    private.mkdir(exist_ok=True)
    (private / "film.mkv").write_bytes(known_film.read_bytes())
    found = watch(f"http://alice:wonder%20land@{HOST}:{nginx.http_port}/private/film.mkv")
    assert found.pictures == 150
    assert found.error is None
    # A playlist whose name does not say so, behind the same login.
    film.write(private / "film.ts")
    (private / "plain").write_text(f"{HEAD}#EXTINF:6,\nfilm.ts\n{END}")
    found = watch(f"hls+http://alice:wonder%20land@{HOST}:{nginx.http_port}/private/plain")
    assert found.pictures >= 149
    assert (found.error, found.live) == (None, False)


def test_a_camera_s_password_opens(known_film: Path, tmp_path: Path) -> None:
    rtsp = RtspServer(tmp_path, known_film, ("alice", "wonderland"))
    try:
        with Decoder(
            open_source(f"rtsp://alice:wonderland@{rtsp.where}", SourceSection()),
            DecodeOptions(threads=1),
        ) as decoder:
            assert decoder.info.has_picture
    finally:
        rtsp.stop()


def test_a_login_stays_with_its_site(known_film: Path) -> None:
    asked: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        asked.append(request(connection))
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with Misbehaving(listen) as other:
        playlist = f"{HEAD}#EXTINF:2,\nhttp://{HOST}:{other.port}/film.ts\n{END}".encode()

        def serve(connection: socket.socket) -> None:
            asked.append(request(connection))
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n"
                + f"Content-Length: {len(playlist)}\r\nConnection: close\r\n\r\n".encode()
                + playlist
            )

        with Misbehaving(serve) as server, pytest.raises(SourceError):
            opened(f"http://alice:secret@{HOST}:{server.port}/list.m3u8")
    own = [head for head in asked if f"Host: {HOST}:{server.port}".encode() in head]
    foreign = [head for head in asked if f"Host: {HOST}:{other.port}".encode() in head]
    assert own
    assert all(b"Authorization: Basic" in head for head in own)
    assert foreign
    assert not any(b"uthorization" in head or b"secret" in head for head in foreign)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


def secured(connection: socket.socket, authority: Authority) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    return context.wrap_socket(connection, server_side=True)


def test_a_certificate_of_nobody_is_refused(authority: Authority) -> None:
    def serve(connection: socket.socket) -> None:
        with secured(connection, authority) as safe:
            request(safe)
            safe.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with Misbehaving(serve) as server:
        url = f"https://{HOST}:{server.port}/film.ts"
        with pytest.raises(SourceInterrupted, match="certificate"):
            opened(url)
        trusting = LIMITS.model_copy(update={"ca_file": authority.file})
        with pytest.raises(SourceError, match="404"):
            opened(url, trusting)


@pytest.mark.parametrize("scheme", ["rtsps", "rtmps"])
def test_cameras_and_relays_need_a_certificate_too(authority: Authority, scheme: str) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with secured(connection, authority) as safe:
            heard.append(safe.recv(1000))

    with Misbehaving(serve) as server:
        url = f"{scheme}://alice:secret@{HOST}:{server.port}/live/film"
        with pytest.raises(SourceInterrupted, match="certificate"):
            opened(url)
        assert not any(heard)
        with pytest.raises(SourceError) as caught:
            opened(url, LIMITS.model_copy(update={"ca_file": authority.file}))
        assert "certificate" not in str(caught.value)
        assert any(heard)


@pytest.mark.parametrize("scheme", ["https", "rtsps", "rtmps"])
def test_a_certificate_for_another_host_is_refused(tmp_path: Path, scheme: str) -> None:
    authority = Authority(tmp_path, "DNS:elsewhere.example")
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with secured(connection, authority) as safe:
            heard.append(safe.recv(1000))

    with Misbehaving(serve) as server:
        trusting = LIMITS.model_copy(update={"ca_file": authority.file})
        with pytest.raises(SourceUnreachable, match="certificate"):
            opened(f"{scheme}://alice:secret@{HOST}:{server.port}/live/film", trusting)
    assert not any(heard)


@pytest.mark.parametrize("scheme", ["https", "rtsps", "rtmps"])
def test_a_server_s_authority_has_to_be_known(
    nginx: Nginx, authority: Authority, known_film: Path, tmp_path: Path, scheme: str
) -> None:
    camera = RtspServer(tmp_path, known_film, None, authority) if scheme == "rtsps" else None
    where = {
        "https": f"{nginx.https}/film.mkv",
        "rtmps": f"{nginx.rtmps}/film",
        "rtsps": f"rtsps://{camera.where}" if camera else "",
    }[scheme]
    other = nginx.authority if camera else authority
    try:
        for ca_file in (None, other.file):
            with pytest.raises(SourceUnreachable, match="certificate") as caught:
                opened(where, LIMITS.model_copy(update={"ca_file": ca_file}))
            assert caught.value.exit_code == 17
    finally:
        if camera:
            camera.stop()


def test_a_film_comes_over_tls(nginx: Nginx, known_film: Path) -> None:
    (nginx.root / "safe.mkv").write_bytes(known_film.read_bytes())
    found = watch(f"{nginx.https}/safe.mkv", ca_file=nginx.authority.file)
    assert (found.error, found.pictures) == (None, 150)
