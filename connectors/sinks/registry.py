"""Chooses a sink by URL."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote, urlsplit

from streamer.connectors.sinks.jsonl import FileSink, StdoutSink
from streamer.connectors.sinks.use import SinkUse
from streamer.errors import SinkError
from streamer.files import unusable

if TYPE_CHECKING:
    from streamer.connectors.sinks.sink import Sink

# Scheme → "module:factory"; a factory takes the URL and a `SinkUse`. A connector's own
# requirements are imported only when its scheme is used.
_FACTORIES: Final[dict[str, str]] = {
    "file": "streamer.connectors.sinks.registry:file_sink",
    "kafka": "streamer.connectors.sinks.kafka:kafka_sink",
    "kafkas": "streamer.connectors.sinks.kafka:kafka_sink",
}


def open_sink(location: str, use: SinkUse | None = None) -> Sink:
    """Makes and opens a sink.

    Args:
        location: ``-`` for standard output, a path, or a URL whose scheme is registered.
        use: Stream and settings; the defaults when None.

    Raises:
        SinkError: The scheme is unknown, or the sink cannot be opened.
    """
    sink = _make(location, SinkUse() if use is None else use)
    sink.open()
    return sink


def file_sink(url: str, use: SinkUse) -> FileSink:
    """Makes a sink of a ``file:`` URL without a host."""
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path:
        raise SinkError("a file: URL names a local path, such as file:///var/lib/events.jsonl")
    return FileSink(Path(unquote(parts.path)), use.hurry)


def check_kind(location: str) -> None:
    """Refuse a location that no sink can ever have, without opening one.

    Args:
        location: As `open_sink` takes it.

    Raises:
        SinkError: Its scheme is unknown, its address is wrong, or no file can be called so.
    """
    sink = _make(location, SinkUse())
    if isinstance(sink, FileSink) and (wrong := unusable(sink.name)):
        raise SinkError(f"{location}: {wrong}")


def _make(location: str, use: SinkUse) -> Sink:
    if location == "-":
        return StdoutSink()
    target = _target(location)
    if target is None:
        return FileSink(Path(location), use.hurry)
    module, _, factory = target.partition(":")
    return cast("Sink", getattr(import_module(module), factory)(location, use))


def _target(location: str) -> str | None:
    """Which factory a URL asks for; None for a path."""
    scheme, colon, _ = location.partition(":")
    if "://" not in location and not (colon and scheme in _FACTORIES):
        return None
    target = _FACTORIES.get(scheme.lower())
    if target is None:
        known = ", ".join(sorted(_FACTORIES))
        raise SinkError(f"no sink for {scheme}: URLs; known: {known}, a path, or - for stdout")
    return target
