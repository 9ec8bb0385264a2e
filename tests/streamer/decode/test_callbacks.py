"""What reading raises reaches the caller once, and nothing of PyAV's own reaches standard error."""

from __future__ import annotations

import socket

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources.registry import open_source
from streamer.connectors.sources.source import Opening, SourceBase
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import SourceClosed, SourceError, SourceNotFound
from tests.servers import film
from tests.servers.process import HOST
from tests.servers.silent import Misbehaving

LIMITS = SourceSection(open_seconds=5.0, stall_seconds=2.0)
HEAD = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"


def listing(count: int, end: str) -> bytes:
    return (HEAD + "".join(f"#EXTINF:2,\n{k}.ts\n" for k in range(count)) + end).encode()


class Site:
    """Answers with what it has, and with 404 for the rest; one connection a request."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []

    def answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                return
            head += data
        name = head.split()[1].decode().rpartition("/")[2]
        self.asked.append(name)
        found = self.files.get(name)
        status = b"404 Not Found" if found is None else b"200 OK"
        length = str(len(found or b"")).encode()
        connection.sendall(
            b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %s\r\n\r\n" % (status, length)
        )
        connection.sendall(found or b"")
        connection.shutdown(socket.SHUT_WR)


def failure(location: str) -> SourceError:
    with (
        pytest.raises(SourceError) as raised,
        Decoder(open_source(location, LIMITS), DecodeOptions(threads=1)) as decoder,
    ):
        for _ in decoder:
            pass
    return raised.value


@pytest.fixture(scope="module")
def broadcast(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ts") / "film.ts"
    film.write(path)
    return path.read_bytes()


@pytest.mark.parametrize("end", ["", "#EXT-X-ENDLIST\n"], ids=["live", "finished"])
@pytest.mark.parametrize("there", [0, 1], ids=["none", "first"])
def test_segments_that_are_gone_are_told_once(
    end: str, there: int, broadcast: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    site = Site({"list.m3u8": listing(4, end), **{f"{k}.ts": broadcast for k in range(there)}})
    with Misbehaving(site.answer) as server:
        error = failure(f"http://{HOST}:{server.port}/list.m3u8")
    assert isinstance(error, SourceNotFound)
    assert capfd.readouterr().err == ""


class Torn(SourceBase):
    """Gives a part of a film and then fails at every read."""

    def __init__(self, data: bytes) -> None:
        super().__init__("torn", live=True, endless=True)
        self._data, self.reads = data, 0

    def open(self) -> Opening:
        return Opening(self, format="mpegts", open_seconds=5.0, stall_seconds=5.0)

    def read(self, size: int = -1, /) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        if not data:
            self.reads += 1
            raise SourceClosed(f"torn: broke off {self.reads}")
        return data

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_a_stream_that_fails_at_every_read_is_told_by_its_first_failure(
    share: float, broadcast: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    source = Torn(broadcast[: round(len(broadcast) * share)])
    with (
        pytest.raises(SourceClosed, match=r"broke off 1$"),
        Decoder(source, DecodeOptions(threads=1)) as decoder,
    ):
        for _ in decoder:
            pass
    assert capfd.readouterr().err == ""
