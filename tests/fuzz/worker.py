"""Runs hostile inputs through demuxer, decoders, shots and aspects, one line of JSON for each.

python -m tests.fuzz.worker FOLDER SEED FIRST [ONLY]
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np

from streamer.config.sections import SourceSection
from streamer.connectors.sources.file import FileSource, GrowingSource
from streamer.connectors.sources.registry import open_source
from streamer.connectors.sources.source import Source
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import SourceError
from streamer.extractor import ClipInput, PictureInput, SoundInput
from streamer.pipeline.embedder import ShotEmbedder
from streamer.timeline import EmbeddedShot
from tests.extractors import Mean
from tests.fuzz.campaign import READY
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, attempt

MEMORY = 4 << 30
QUICK = SourceSection(open_seconds=3.0, stall_seconds=1.0)
LIMITS = DecodeOptions(threads=1, max_pixels=1 << 22)
EXTRACTORS = (
    Mean("place", PictureInput(8, 8, Fraction(2))),
    Mean("action", ClipInput(4, 4, 5, Fraction(1, 50))),
    Mean("vggish", SoundInput(16000, 15600, 15360)),
    Mean("openl3", SoundInput(22050, 66150, 66150)),
)


class Site:
    """Serves one playlist and its segments from memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = site.files.get(self.path.partition("?")[0].rpartition("/")[2])
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{name}"


def run(source: Source) -> str:
    """Decodes, splits and embeds an input; says how it ended.

    Raises:
        AssertionError: Times went back, shots left a hole, or a token is not finite.
    """
    seen: dict[type, Fraction] = {}
    shots: list[EmbeddedShot] = []
    try:
        with Decoder(source, LIMITS) as decoder:
            embedder = ShotEmbedder(decoder.info, EXTRACTORS, batch=4)
            for item in decoder:
                assert item.start.seconds > seen.get(type(item), Fraction(-(10**12)))
                seen[type(item)] = item.start.seconds
                shots += embedder.push(item)
            shots += embedder.finish()
            assert embedder.lost_sound == 0
    except SourceError as error:
        return type(error).__name__ if "\n" not in str(error) else "FAILED several lines"
    assert all(a.shot.end.seconds == b.shot.start.seconds for a, b in pairwise(shots))
    assert all(np.isfinite(rows).all() for shot in shots for rows in shot.tokens.values())
    return "decoded"


def main(folder: Path, seed: int, first: int, only: str = "") -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    socket.setdefaulttimeout(5)
    good = {path.name: path.read_bytes() for path in sorted((folder / "good").iterdir())}
    names = sorted(name for name in good if only in name)
    site = Site()
    for k in range(4):
        site.files |= {f"{k}.ts": good["film.ts"], f"{k}.mp4": good["frag.mp4"]}
    number = first
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    while True:
        name = names[number % len(names)]
        text = name.startswith("list.")
        data = mutated(good[name], seed * 1_000_003 + number, text=text)
        # What the parent looks for when this process does not survive it.
        (folder / f"at-{name}").write_bytes(data)
        if name.endswith(tuple(TARGETS)):
            source: Source | None = None
        elif text:
            site.files[name] = data
            source = open_source(site.address(name), QUICK)
        elif number // len(names) % 2:
            source = GrowingSource(folder / f"at-{name}", 0.05)
        else:
            source = FileSource(folder / f"at-{name}")
        try:
            outcome = attempt(folder / f"at-{name}") if source is None else run(source)
        except MemoryError:
            outcome = "MemoryError"
        except BaseException as error:  # noqa: BLE001  (every other one is a finding)
            outcome = f"FAILED {type(error).__name__}: {error}"
        sys.stdout.write(json.dumps({"number": number, "name": name, "outcome": outcome}) + "\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
