"""A transport stream at the speed of life: ``python -m streamer.bench.feed FILE``.

Prints the port it listens on, at 127.0.0.1. Whoever asks over HTTP gets the file from its
beginning, no faster than it plays. A process of its own: its time is not that of the streams.
"""

from __future__ import annotations

import mmap
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serve(film: Path) -> Iterator[str]:
    """Serves a file from another process for as long as the context lasts.

    Args:
        film: An MPEG transport stream.

    Yields:
        The address.
    """
    command = [sys.executable, "-m", "streamer.bench.feed", str(film)]
    with Popen(command, stdout=PIPE) as child:  # noqa: S603 -- our own module
        try:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{int(child.stdout.readline())}/live.ts"
        finally:
            child.kill()


def schedule(film: Path) -> list[tuple[float, int]]:
    """When how much of a transport stream is due.

    Args:
        film: An MPEG transport stream.

    Returns:
        Seconds since the beginning, and the bytes that are due by then; both rising.
    """
    due: list[tuple[float, int]] = []
    with av.open(str(film)) as container:
        begin: float | None = None
        for packet in container.demux(container.streams.video[0]):
            if packet.dts is None or packet.pos is None:
                continue
            at = float(packet.dts * packet.time_base)
            begin = at if begin is None else begin
            if not due or (at - begin > due[-1][0] and packet.pos > due[-1][1]):
                due.append((at - begin, packet.pos))
    return [*due, (due[-1][0], film.stat().st_size)]


def _listen(film: Path) -> None:
    due = schedule(film)
    with film.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                began, sent = time.monotonic(), 0
                try:
                    for at, until in due:
                        time.sleep(max(0.0, began + at - time.monotonic()))
                        self.wfile.write(data[sent:until])
                        sent = until
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
            sys.stdout.write(f"{server.server_address[1]}\n")
            sys.stdout.flush()
            server.serve_forever()


if __name__ == "__main__":
    _listen(Path(sys.argv[1]))
