"""Files other than media that somebody may have damaged, and what reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Final

from streamer.config.load import load_settings
from streamer.config.streams import load_streams
from streamer.connectors.sinks.leftovers import leftovers
from streamer.connectors.sinks.spool import Spool
from streamer.errors import ConfigError, DatasetError, SinkError, StateError, StreamerError
from streamer.events.cloudevent import cloud_event, to_line
from streamer.fleet.record import RecordRefused, decode, encode
from streamer.live.state import Head, Saved, StateFile
from streamer.models.dataset.annotations import read_boundaries
from tests.streamer.events.examples import boundary
from tests.streamer.fleet.shots import records

STREAM: Final = "a"
CHECKSUM_AT: Final = 12
SETTINGS: Final = """
[shots]
max_seconds = 20.0
[output]
sinks = ["kafka://127.0.0.1:9092/scenes", "-"]
file = "events.jsonl"
[aspects.extra.mood]
network = "yamnet"
[[streams]]
name = "news"
source = "rtsp://camera/news"
sinks = ["file:///var/lib/events.jsonl"]
threshold = 0.5
"""


def seeds(folder: Path) -> dict[str, bytes]:
    """Good files of every kind, by the name of their target.

    Args:
        folder: For them.
    """
    head = Head(
        stream=STREAM, source="s", epoch=2, exact=True, wall=1.5, base=3.25, shots=7, scenes=2,
        boundaries=1,
    )  # fmt: skip
    state = StateFile(folder, STREAM)
    state.save(Saved(head, bytes(range(256)), None))
    path = folder / "seed.spool"
    spool = Spool(path, 1 << 20)
    spool.open("kafka://127.0.0.1:9092/scenes", STREAM)
    for _ in range(3):
        spool.put(to_line(cloud_event(boundary())))
    spool.close()
    return {
        "data.state": state.path.read_bytes(),
        "data.spool": path.read_bytes(),
        "data.record": encode(records("s", 1, 1)[0]),
        "list.scenes.csv": b"start,end\n0.0,12.48\n12.48,00:01:00.5\n",
        "list.frames.csv": b"0 299\n300 899\n",
        "list.settings.toml": SETTINGS.encode(),
    }


def state(path: Path) -> None:
    """Load a stream's state from where it would lie."""
    file = StateFile(path.parent, STREAM)
    file.path.write_bytes(path.read_bytes())
    saved = file.load()
    assert saved is not None
    assert saved.head.stream == STREAM


def spool(path: Path) -> None:
    """List and open a spool, and read, refuse and remove what is in it."""
    place = path.with_name("tried.spool")
    for ending in ("", "-wal", "-shm", "-journal"):
        place.with_name(place.name + ending).unlink(missing_ok=True)
    place.write_bytes(path.read_bytes())
    leftovers(path.parent)
    opened = Spool(place, 1 << 20)
    opened.open("kafka://127.0.0.1:9092/scenes", STREAM)
    try:
        for stored in opened.after(0, 100):
            assert isinstance(stored.line, bytes)
            opened.refuse(stored.number, "tried")
        opened.put(b"{}")
    finally:
        opened.close()


def record(path: Path) -> None:
    """Decode a shot record as it is, and with a checksum that fits what is damaged."""
    data = bytearray(path.read_bytes())
    for _ in range(2):
        try:
            decode(bytes(data))
        except RecordRefused as error:
            if "\n" in str(error):
                raise AssertionError("several lines") from error
        if len(data) >= CHECKSUM_AT + 4:
            struct.pack_into("<I", data, CHECKSUM_AT, zlib.crc32(data[CHECKSUM_AT + 4 :]))


def annotation(path: Path) -> None:
    """Read scenes in whatever form they seem to be."""
    for boundary_at in read_boundaries(path, frame_rate=Fraction(24000, 1001)):
        assert float(boundary_at) >= 0.0


def settings(path: Path) -> None:
    """Read settings and streams."""
    load_settings(path)
    load_streams(path)


TARGETS: Final[dict[str, tuple[Callable[[Path], None], type[StreamerError]]]] = {
    ".state": (state, StateError),
    ".spool": (spool, SinkError),
    ".record": (record, StateError),
    ".csv": (annotation, DatasetError),
    ".toml": (settings, ConfigError),
}
"""Ending → what reads such a file, and the only error of it."""


def attempt(path: Path) -> str:
    """Read a file; say how it ended.

    Raises:
        Exception: Any that is not the target's own is a finding.
    """
    read, refusal = TARGETS[path.suffix]
    try:
        read(path)
    except refusal as error:
        return type(error).__name__ if "\n" not in str(error) else "FAILED several lines"
    return "read"
