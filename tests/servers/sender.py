"""The ffmpeg program as the sender of a film, in real time."""

from __future__ import annotations

from pathlib import Path

from tests.servers.process import Process


def send(film: Path, target: str, log: Path, *options: str, again: bool = False) -> Process:
    """Sends a film as it is encoded, as fast as it plays; again and again if so wished."""
    quiet = ("-hide_banner", "-loglevel", "warning")
    how = ("-re", *(("-stream_loop", "-1") if again else ()))
    return Process(["ffmpeg", *quiet, *how, "-i", film, "-c", "copy", *options, target], log)
