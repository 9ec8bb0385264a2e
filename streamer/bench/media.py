"""Prepare films for measurements, decode them, and serve them as live feeds.

``python -m streamer.bench.media decode FILE`` decodes every frame with PyAV's defaults for files
and discards it: the baseline of `streamer.bench.tail`.

``python -m streamer.bench.media feed FILE`` prints a port of 127.0.0.1 and serves a transport
stream there over HTTP, from its beginning and no faster than it plays. It is a process of its own
so that its CPU time does not count for the measured streams.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from collections.abc import Iterator


def lengthen(film: Path, out: Path, seconds: float) -> Path:
    """Repeat a film's packets, without encoding, until it lasts long enough.

    Args:
        film: Any container with picture and sound.
        out: Path of the result; its suffix selects the format.
        seconds: Least length of the result.

    Returns:
        ``out``.
    """
    with av.open(str(out), "w") as target:
        with av.open(str(film)) as source:
            kept = [*source.streams.video[:1], *source.streams.audio[:1]]
            streams = {stream.index: target.add_stream_from_template(stream) for stream in kept}
        offset = begin = Fraction(0)
        while offset < seconds:
            end = offset
            with av.open(str(film)) as source:
                for packet in source.demux([source.streams[index] for index in streams]):
                    if packet.dts is None or packet.pts is None:
                        continue
                    # Audio may begin before 0, with the priming samples of its codec.
                    begin = min(begin, packet.dts * packet.time_base)
                    shift = round(offset / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    length = (packet.pts + (packet.duration or 0)) * packet.time_base
                    end = max(end, length)
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)
            offset = end - begin
    return out


def as_broadcast(film: Path, out: Path) -> Path:
    """Remux a film as an MPEG transport stream, without encoding, and return ``out``."""
    with av.open(str(film)) as source, av.open(str(out), "w", format="mpegts") as target:
        kept = [*source.streams.video[:1], *source.streams.audio[:1]]
        streams = {stream.index: target.add_stream_from_template(stream) for stream in kept}
        for packet in source.demux(kept):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return out


def decode(path: str) -> int:
    """Decode the first video and the first audio stream.

    Args:
        path: A media file.

    Returns:
        The number of frames.
    """
    with av.open(path) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for stream in streams:
            stream.codec_context.thread_type = "AUTO"
        return sum(1 for _ in container.decode(*streams))


@contextmanager
def serve(film: Path) -> Iterator[str]:
    """Serve a file from another process while the context lasts.

    Args:
        film: An MPEG transport stream.

    Yields:
        The address.
    """
    from subprocess import PIPE, Popen

    command = [sys.executable, "-m", "streamer.bench.media", "feed", str(film)]
    with Popen(command, stdout=PIPE) as child:  # noqa: S603 -- our own module
        try:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{int(child.stdout.readline())}/live.ts"
        finally:
            child.kill()


def schedule(film: Path) -> list[tuple[float, int]]:
    """Return how many bytes of a transport stream are due at which time.

    Args:
        film: An MPEG transport stream.

    Returns:
        Seconds since the beginning and bytes due by then; both increase.
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
    # Imported here: `decode` is timed with its start-up, and does not need them.
    import mmap
    import time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
                """Log nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
            sys.stdout.write(f"{server.server_address[1]}\n")
            sys.stdout.flush()
            server.serve_forever()


def _main(command: str, film: str) -> None:
    if command == "feed":
        _listen(Path(film))
    else:
        sys.stdout.write(f"{decode(film)}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
