"""Choose a sink by URL: built-in, or of an installed distribution."""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

from streamer.connectors.sinks.jsonl import FileSink, StdoutSink
from streamer.errors import PluginError, SinkError
from streamer.events.cloudevent import payload
from streamer.files import unusable
from streamer.plugins import Guard, SinkContext, find, nearest, table
from streamer.plugins import Sink as PluginBase

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudevents.core.v1.event import CloudEvent

    from streamer.connectors.sinks.sink import Sink
    from streamer.plugins import Event, Plugin

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")


def open_sink(location: str, context: SinkContext | None = None) -> Sink:
    """Make and open a sink.

    Args:
        location: ``-`` for standard output, a path, or a URL whose scheme names a sink.
        context: Stream, settings, warnings; the defaults when None.

    Raises:
        SinkError: The scheme is unknown, or the sink cannot be opened.
        PluginError: The scheme's plug-in cannot be used.
    """
    sink = _make(location, SinkContext() if context is None else context)
    sink.open()
    return sink


def file_sink(url: str, context: SinkContext) -> FileSink:
    """Make a sink of a ``file:`` URL without a host."""
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path:
        raise SinkError("a file: URL names a local path, such as file:///var/lib/events.jsonl")
    return FileSink(Path(unquote(parts.path)), context.abort)


def check_kind(location: str) -> None:
    """Refuse a location that no sink can ever have, without opening one.

    Args:
        location: As `open_sink` takes it.

    Raises:
        SinkError: Its scheme is unknown, its address is wrong, or no file can be called so.
        PluginError: The scheme's plug-in cannot be used.
    """
    sink = _make(location, SinkContext())
    if isinstance(sink, FileSink) and (wrong := unusable(sink.name)):
        raise SinkError(f"{location}: {wrong}")


class PluginSink:
    """Run a plug-in's sink on a guarded thread, behind the interface of the built-in ones.

    Args:
        plugin: Its entry in the table.
        url: As the user gave it.
        context: Stream and warnings.

    Raises:
        PluginError: The plug-in cannot be imported, or is neither a `streamer.plugins.Sink` nor
            a function.
    """

    def __init__(self, plugin: Plugin, url: str, context: SinkContext) -> None:
        self.name, hidden = _shown(url)
        made = plugin.load()
        self._guard = Guard(plugin.label, SinkError, 60.0, context.abort.is_set, hidden)
        self._make: Callable[[], PluginBase]
        if isinstance(made, type) and issubclass(made, PluginBase):
            self._guard.seconds = made.timeout
            own = plugin.settings(context.settings)
            self._make = partial(
                made, url, SinkContext(context.stream, own, context.warn, context.abort)
            )
        elif inspect.isroutine(made):
            self._make = partial(_FunctionSink, made, url, context)
        else:
            raise PluginError(
                f"{plugin.label}: {plugin.target} is neither a subclass of streamer.plugins.Sink "
                "nor a function"
            )
        self._sink: PluginBase | None = None

    def open(self) -> None:
        """Make the plug-in's object and open it.

        Raises:
            SinkError: It raises, or does not return in time.
        """
        if self._sink is None:
            sink = self._guard.call(self._make)
            self._guard.call(sink.open)
            self._sink = sink

    def add(self, event: CloudEvent) -> None:
        """Write one event.

        Raises:
            SinkError: The plug-in raises, or does not return in time, or the event is none of
                this program's.
        """
        sink = self._opened()
        try:
            data = payload(event)
        except ValueError:
            raise SinkError(
                f"{self.name}: {event.get_type()} {event.get_id()} is no event of this program"
            ) from None
        self._guard.call(_write, sink, event, data)

    def flush(self) -> None:
        """Wait until the plug-in has delivered everything; no longer than its time limit.

        Raises:
            SinkError: It raises, or does not return in time.
        """
        self._guard.call(self._opened().flush)

    def close(self) -> None:
        """Close the plug-in's object, unless a call of it never came back.

        Raises:
            SinkError: It raises, or does not return in time.
        """
        sink, self._sink = self._sink, None
        try:
            if sink is not None and self._guard.failed is None:
                self._guard.call(sink.close)
        finally:
            self._guard.close()

    def _opened(self) -> PluginBase:
        if self._sink is None:
            raise SinkError(f"{self.name}: not open")
        return self._sink


class _FunctionSink(PluginBase):
    """Call a plain function with every event."""

    def __init__(self, function: Callable[[Event], None], url: str, context: SinkContext) -> None:
        super().__init__(url, context)
        self._function = function

    def write(self, event: Event) -> None:
        """Call the function."""
        result: Any = self._function(event)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("is async; define it without async")


def _write(sink: PluginBase, envelope: CloudEvent, event: Event) -> Any:
    sink.cloud_event = envelope
    return sink.write(event)


def _shown(url: str) -> tuple[str, dict[str, str]]:
    """Leave login, query and fragment out of a URL, and say what errors must not repeat."""
    try:
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    except ValueError:
        return f"{url.partition(':')[0]}:…", {url: "the address"}
    secrets = [url, login, parts.password or "", parts.query, parts.fragment]
    hidden = {each: "…" for each in secrets if each}
    return shown.geturl(), hidden if hidden.keys() - {shown.geturl()} else {}


def _make(location: str, context: SinkContext) -> Sink:
    if location == "-":
        return StdoutSink()
    plugin = _plugin(location)
    if plugin is None:
        return FileSink(Path(location), context.abort)
    if plugin.built_in:
        return cast("Sink", plugin.load()(location, context))
    return PluginSink(plugin, location, context)


def _plugin(location: str) -> Plugin | None:
    """Find the part that a URL asks for; None for a path."""
    found = _SCHEME.match(location)
    if found is None:
        return None
    scheme, slashes = found[1].lower(), found[2]
    plugin = find("sinks", scheme)
    if plugin is None and slashes is not None:
        known = nearest(scheme, table("sinks"))
        raise SinkError(f"no sink for {scheme}: URLs; {known}, a path, or - for stdout")
    return plugin
