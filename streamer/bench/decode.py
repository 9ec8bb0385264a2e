"""Bare decoding of a file: ``python -m streamer.bench.decode FILE``, the yardstick of the rest.

Every picture and every block of sound is decoded with PyAV's defaults for files and thrown away.
"""

from __future__ import annotations

import sys

import av


def decode(path: str) -> int:
    """Decodes the first picture and the first sound stream.

    Args:
        path: A media file.

    Returns:
        How many frames there were.
    """
    with av.open(path) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for stream in streams:
            stream.codec_context.thread_type = "AUTO"
        return sum(1 for _ in container.decode(*streams))


if __name__ == "__main__":
    sys.stdout.write(f"{decode(sys.argv[1])}\n")
