"""Choose the source for a location: built-in, or of an installed distribution."""

from __future__ import annotations

import inspect
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

from streamer.connectors.sources.address import is_address, parse
from streamer.connectors.sources.file import FileSource, GrowingSource, ObjectSource, check_file
from streamer.connectors.sources.source import Opening, SourceBase
from streamer.connectors.sources.stdin import PipeSource
from streamer.errors import (
    PluginError,
    SourceError,
    SourceNotFound,
    SourceUnreachable,
    SourceUnsupported,
)
from streamer.plugins import Guard, find, nearest, table
from streamer.plugins import Source as PluginBase

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.file import FileFingerprint
    from streamer.connectors.sources.source import Source
    from streamer.plugins import Plugin

DEVICES: Final = frozenset({"mic", "camera", "screen"})


def open_source(location: str, settings: SourceSection) -> Source:
    """Choose the source for a location; bad paths are refused here, before anything is loaded.

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
        PluginError: The plug-in of its scheme cannot be used.
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
        from streamer.connectors.sources.ffmpeg import FFmpegSource

        return FFmpegSource(path, **_limits(settings))
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
    """Say whether there is any source for such a location, without looking for it.

    Args:
        location: As `open_source` takes it.

    Raises:
        SourceUnsupported: It is an address of an unknown kind, or none at all.
        PluginError: Two distributions provide its scheme.
    """
    device = location.partition(":")[0] in DEVICES and ":" in location
    if not device and is_address(location) and parse(location).scheme != "file":
        _plugin(location)


class PluginSource(SourceBase):
    """Connect with a plug-in's source, and read what it names with a built-in one.

    Args:
        plugin: Its entry in the table.
        location: As the user gave it.
        settings: How the media is read.

    Raises:
        PluginError: The plug-in cannot be imported, or is neither a `streamer.plugins.Source` nor
            a function.
    """

    def __init__(self, plugin: Plugin, location: str, settings: SourceSection) -> None:
        made = plugin.load()
        is_class = isinstance(made, type) and issubclass(made, PluginBase)
        if not is_class and not inspect.isroutine(made):
            raise PluginError(
                f"{plugin.label}: {plugin.target} is neither a subclass of "
                "streamer.plugins.Source nor a function"
            )
        live = bool(made.live) if is_class else False
        shown = parse(location).shown
        super().__init__(shown, live=live, endless=live)
        hidden = {} if location == shown else {location: shown}
        self._plugin, self._location, self._settings = plugin, location, settings
        self._made, self._is_class = made, is_class
        self._guard = Guard(
            plugin.label, SourceError, settings.open_seconds, lambda: self._stopped, hidden
        )
        self._object: PluginBase | None = None
        self._source: Source | None = None

    @property
    def live(self) -> bool:
        """Return what the plug-in says, or the source that it names."""
        return self._live or (self._source is not None and self._source.live)

    @property
    def endless(self) -> bool:
        """Return what the plug-in says, or the source that it names."""
        return self._endless or (self._source is not None and self._source.endless)

    @property
    def replays(self) -> bool:
        """Return whether a new connection gives the same data from the beginning."""
        return not self._endless and (self._source is None or self._source.replays)

    @property
    def recovers(self) -> bool:
        """Return whether an error when it is opened may pass."""
        return self._endless or (self._source is not None and self._source.recovers)

    def open(self) -> Opening:
        """Ask the plug-in where the media is, and open that.

        Raises:
            SourceError: The plug-in raises, does not return in time, or names nothing that can be
                read.
        """
        found = self._connect()
        if isinstance(found, str | os.PathLike):
            try:
                self._source = open_source(os.fspath(found), self._settings)
            except SourceError as error:
                raise self._guard.error(str(error), type(error)) from error
            if isinstance(self._source, PluginSource):
                raise self._guard.error("open named the address of another plug-in")
        elif callable(getattr(found, "read", None)):
            # A read may take as long as a connection may stall, whether live or not.
            self._guard.seconds = self._settings.stall_seconds
            file = cast("BinaryIO", _GuardedFile(found, self._guard))
            self._source = ObjectSource(file, self._guard.label, live=self._live)
        else:
            kind = type(found).__name__
            raise self._guard.error(f"open gave {kind}, not a path, an address or a binary file")
        opening = self._source.open()
        if not isinstance(self._source, ObjectSource):
            return opening
        return replace(
            opening,
            open_seconds=self._settings.open_seconds,
            stall_seconds=self._settings.stall_seconds,
        )

    def fault(self) -> SourceError | None:
        """Return why the data ended, when that is known and an error."""
        return None if self._source is None else self._source.fault()

    def wallclock(self) -> float | None:
        """Return when the first moment was, if the source that it names says so."""
        return None if self._source is None else self._source.wallclock()

    def fingerprint(self) -> FileFingerprint | None:
        """Return the fingerprint of the file that it names."""
        return None if self._source is None else self._source.fingerprint()

    def stop(self) -> None:
        """End the running or next read."""
        if self._source is not None:
            self._source.stop()
        super().stop()

    def close(self) -> None:
        """Close what was opened, and the plug-in's object after it."""
        if self._source is not None:
            self._source.close()
        made, self._object = self._object, None
        if made is not None and self._guard.failed is None:
            self._guard.call(made.close)
        self._guard.close()

    def _connect(self) -> Any:
        try:
            if not self._is_class:
                return self._guard.call(self._made, self._location)
            made = self._object = self._guard.call(self._made, self._location)
            return self._guard.call(made.open)
        except SourceError as error:
            if self._live and isinstance(error.__cause__, OSError):
                raise SourceUnreachable(str(error)) from error
            raise


class _GuardedFile:
    """Read a plug-in's file object on its guarded thread."""

    def __init__(self, file: Any, guard: Guard) -> None:
        self._file, self._guard = file, guard

    def read(self, size: int = -1, /) -> Any:
        return self._guard.call(self._file.read, size)

    def seekable(self) -> bool:
        return bool(self._guard.call(self._file.seekable))

    def seek(self, offset: int, whence: int = 0, /) -> Any:
        return self._guard.call(self._file.seek, offset, whence)

    def tell(self) -> Any:
        return self._guard.call(self._file.tell)


def _limits(settings: SourceSection) -> dict[str, Any]:
    return {"open_seconds": settings.open_seconds, "stall_seconds": settings.stall_seconds}


def _device(location: str, settings: SourceSection) -> Source:
    from streamer.connectors.sources.capture import CaptureSource, CombinedCaptureSource
    from streamer.connectors.sources.microphone import MicrophoneSource

    shown, combined, heard = location.partition("+mic:")
    kind, _, device = shown.partition(":")
    stall = settings.stall_seconds
    if kind == "mic":
        return MicrophoneSource(location.partition(":")[2], stall_seconds=stall)
    video = CaptureSource(kind, device, **_limits(settings))
    if not combined:
        return video
    audio = MicrophoneSource(heard, stall_seconds=stall)
    return CombinedCaptureSource(video, audio, timeout=settings.open_seconds + stall)


def _network(location: str, settings: SourceSection) -> Source:
    plugin, address = _plugin(location), parse(location)
    if not plugin.built_in:
        return PluginSource(plugin, location, settings)
    options = _limits(settings) | {"ca_file": settings.ca_file}
    if address.scheme.startswith("rtsp"):
        options["rtsp_transport"] = settings.rtsp_transport
    elif address.scheme.endswith(("http", "https")):
        options["max_playlist_bytes"] = settings.max_playlist_bytes
    source: Source = plugin.load()(address, **options)
    return source


def _plugin(location: str) -> Plugin:
    address = parse(location)
    found = find("sources", address.scheme)
    if found is None:
        known = nearest(address.scheme, {**table("sources"), "file": ()})
        raise SourceUnsupported(f"{address.shown}: no such kind of address; {known}")
    return found
