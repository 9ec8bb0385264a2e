"""An RTSP server that plays a film in real time to whoever comes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.process import HOST, Process, answers, free_port

if TYPE_CHECKING:
    from tests.servers.authority import Authority

SCRIPT = Path(__file__).with_name("rtsp_server.py")
PLAY = (
    "( filesrc location={film} ! matroskademux name=d "
    "d.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 "
    "d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)


class RtspServer:
    """GStreamer's, serving one Matroska film with H.264 and AAC.

    Args:
        folder: For its log.
        film: What it plays, from the start for each first viewer.
        login: User name and password that it asks for.
        authority: Its certificate makes it speak TLS, and nothing else.
    """

    def __init__(
        self,
        folder: Path,
        film: Path,
        login: tuple[str, str] | None = None,
        authority: Authority | None = None,
    ) -> None:
        self.port = free_port()
        script: list[str | Path] = ["/usr/bin/python3", SCRIPT, str(self.port)]
        script.append(PLAY.format(film=film))
        script += ["--login", *login] if login else []
        script += ["--tls", authority.certificate, authority.key] if authority else []
        self._process = Process(script, folder / "rtsp.log")
        self._process.until(lambda: answers(self.port), "RTSP server")

    @property
    def where(self) -> str:
        return f"{HOST}:{self.port}/film"

    def signal(self, number: int) -> None:
        self._process.signal(number)

    def stop(self) -> None:
        self._process.stop()
