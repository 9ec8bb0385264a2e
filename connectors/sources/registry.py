"""From what a user typed to a source."""

from __future__ import annotations

import stat
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from streamer.connectors.sources.address import is_address, parse
from streamer.connectors.sources.file import FileSource, check_file
from streamer.connectors.sources.growing import GrowingSource
from streamer.connectors.sources.stdin import PipeSource
from streamer.errors import SourceNotFound, SourceUnsupported

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.source import Source

# Scheme → (module in this folder, class); imported when an address asks for it.
SCHEMES: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("http", "https"), ("http", "HttpSource")),
    **dict.fromkeys(("hls+http", "hls+https"), ("http", "HttpSource")),
    **dict.fromkeys(("dash+http", "dash+https"), ("http", "HttpSource")),
    **dict.fromkeys(("rtsp", "rtsps"), ("rtsp", "RtspSource")),
    **dict.fromkeys(("rtmp", "rtmps", "rtmpt", "rtmpts"), ("rtmp", "RtmpSource")),
    "udp": ("udp", "UdpSource"),
    "rtp": ("rtp", "RtpSource"),
    "srt": ("srt", "SrtSource"),
}


DEVICES: Final = frozenset({"mic", "camera", "screen"})


def open_source(location: str, settings: SourceSection) -> Source:
    """Chooses the source for a location; bad paths are refused here, before anything is loaded.

    Args:
        location: A path, ``-`` for standard input, a URL, or ``mic:``, ``camera:`` or
            ``screen:`` with a device, the latter two also with ``+mic:…`` behind; a file whose
            name looks like one of those is written with ``./`` before it.
        settings: With ``follow``, a file is read as it grows and any input ends after
            ``idle_timeout`` seconds of silence.

    Returns:
        A source that has not been opened: one connection. To connect again, ask again.

    Raises:
        SourceError: The location cannot be read.
    """
    idle_timeout = settings.idle_timeout if settings.follow else None
    if location == "-":
        if sys.stdin is None:
            raise SourceNotFound("-: standard input is closed")
        return PipeSource(sys.stdin.fileno(), idle_timeout)
    if location.partition(":")[0] in DEVICES and ":" in location:
        return _device(location, settings)
    if is_address(location):
        address = parse(location)
        if address.scheme != "file":
            return _network(location, settings)
        location = unquote(urlsplit(address.plain).path)
    path = Path(location)
    found = check_file(path, may_be_empty=settings.follow)
    if stat.S_ISFIFO(found.st_mode):
        return PipeSource(path, idle_timeout)
    if path.suffix.lower() == ".sdp":
        from streamer.connectors.sources.rtp import RtpSource

        return RtpSource(path, settings)
    if settings.follow:
        return GrowingSource(path, settings.idle_timeout)
    return FileSource(path)


def path_of(location: str) -> Path | None:
    """Find the path that a location is; None for addresses, devices and standard input."""
    device = location.partition(":")[0] in DEVICES and ":" in location
    if not location or location == "-" or device or is_address(location):
        return None
    return Path(location)


def check_kind(location: str) -> None:
    """Says whether there is any source for such a location, without looking for it.

    Args:
        location: As `open_source` takes it.

    Raises:
        SourceUnsupported: It is an address of an unknown kind, or none at all.
    """
    device = location.partition(":")[0] in DEVICES and ":" in location
    if not device and is_address(location) and parse(location).scheme != "file":
        _kind(location)


def _device(location: str, settings: SourceSection) -> Source:
    from streamer.connectors.sources.beside import BesideSource
    from streamer.connectors.sources.capture import CaptureSource
    from streamer.connectors.sources.microphone import MicrophoneSource

    shown, beside, heard = location.partition("+mic:")
    kind, _, device = shown.partition(":")
    if kind == "mic":
        return MicrophoneSource(location.partition(":")[2], settings)
    pictures = CaptureSource(kind, device, settings)
    if not beside:
        return pictures
    return BesideSource(pictures, MicrophoneSource(heard, settings), settings)


def _network(location: str, settings: SourceSection) -> Source:
    address = parse(location)
    module, name = _kind(location)
    kind = getattr(import_module(f"streamer.connectors.sources.{module}"), name)
    source: Source = kind(address, settings)
    return source


def _kind(location: str) -> tuple[str, str]:
    address = parse(location)
    found = SCHEMES.get(address.scheme)
    if found is None:
        known = ", ".join(sorted([*SCHEMES, "file"]))
        raise SourceUnsupported(f"{address.shown}: no such kind of address; there are {known}")
    return found
