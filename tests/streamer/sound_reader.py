"""Reads files to their end in a process of its own, a line about each, so that a crash is seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from streamer.aspects.track import SoundTrack, clean
from streamer.connectors.sources.file import FileSource
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.timeline import Sound


def read(path: Path) -> dict[str, object]:
    """What is heard of a file, and the formats in which it was decoded."""
    tracks = [SoundTrack(16000), SoundTrack(44100)]
    kinds: set[str] = set()
    with Decoder(FileSource(path), DecodeOptions()) as decoder:
        listed = [facts.detail for facts in decoder.streams]
        for item in decoder:
            if isinstance(item, Sound):
                kinds.add(f"{item.frame.format.name} {item.frame.layout.name}")
                for track in tracks:
                    track.push(clean(item))
    heard = []
    for track in tracks:
        track.flush()
        samples, received = track.read(0, track.rate)
        middle = samples[track.rate // 4 : track.rate // 2]
        loud = float(np.sqrt(np.mean(middle.astype(np.float64) ** 2)))
        heard.append({"seconds": received / track.rate, "loud": loud})
    return {"file": path.name, "kinds": sorted(kinds), "heard": heard, "listed": listed}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(read(Path(name))), flush=True)
