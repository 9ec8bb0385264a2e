"""The ffmpeg program as the sender of a film, in real time."""

from __future__ import annotations

from pathlib import Path

from tests.servers.process import Process


def send(film: Path, target: str, log: Path, *options: str) -> Process:
    """Sends a film as it is encoded, as fast as it plays."""
    quiet = ("-hide_banner", "-loglevel", "warning")
    return Process(["ffmpeg", *quiet, "-re", "-i", film, "-c", "copy", *options, target], log)
