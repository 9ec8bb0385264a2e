"""What version 0.1.0 wrote: frozen copies of its writers."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from streamer.pipeline import remember, resume_point

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from streamer.fleet.window import StreamWindow
    from streamer.live.state import Saved
    from streamer.pipeline.segmentation import StreamSegmentation


def segmentation(of: StreamSegmentation) -> bytes:
    """`StreamSegmentation.state`."""
    tracker = remember.dump(of._tracker.state)
    metadata = {"version": "1", "stream": of.stream, "tracker": tracker}
    return safetensors.numpy.save(dict(of.segmenter.state()), metadata)


def state(saved: Saved) -> bytes:
    """`StateFile.save`."""
    metadata = {"stream": json.dumps({"version": 1, **saved.head.model_dump(mode="json")})}
    arrays: dict[str, NDArray[Any]] = {"segmentation": np.frombuffer(saved.segmentation, np.uint8)}
    if saved.mark is not None:
        metadata["mark"], more = resume_point.dump(saved.mark)
        arrays |= more
    return safetensors.numpy.save(arrays, metadata)


def window(of: StreamWindow) -> bytes:
    """`StreamWindow.save`."""
    saved = {
        "offset": of.offset,
        "sequence": of.sequence,
        "epoch": of.epoch,
        "index": of.index,
        "ended": of.ended,
        "recent": list(of._recent),
    }
    text = json.dumps(saved, separators=(",", ":")).encode()
    return struct.pack("<HI", 1, len(text)) + text + segmentation(of.segmentation)


def record(header: bytes, tokens: bytes) -> bytes:
    """`encode`, from the header on."""
    body = header + tokens
    return struct.pack("<4sHHII", b"MSHT", 1, 0, len(header), zlib.crc32(body)) + body


def spool(path: Path, target: str, stream: str, lines: Sequence[bytes]) -> None:
    """`Spool`, closed."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(
        """BEGIN EXCLUSIVE;
        CREATE TABLE IF NOT EXISTS about (target TEXT NOT NULL, stream TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS events
            (number INTEGER PRIMARY KEY AUTOINCREMENT, line BLOB NOT NULL);
        CREATE TABLE IF NOT EXISTS refused (
            number INTEGER PRIMARY KEY, line BLOB NOT NULL, reason TEXT NOT NULL
        );
        PRAGMA user_version = 1; COMMIT"""
    )
    database.execute("INSERT INTO about VALUES (?, ?)", (target, stream))
    for line in lines:
        database.execute("INSERT INTO events (line) VALUES (?)", (line,))
    database.close()
