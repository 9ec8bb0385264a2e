"""All streams of one process."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from streamer.connectors.sinks.registry import check_kind as check_sink
from streamer.connectors.sources.registry import check_kind as check_source
from streamer.errors import ConfigError, SinkError, SourceError
from streamer.serve.guard import CrashGuard
from streamer.serve.host import STOP_SECONDS, StreamHost
from streamer.serve.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamer.aspects.batching import SharedExtractors
    from streamer.config.streams import StreamEntry
    from streamer.pipeline.engine import Engine
    from streamer.serve.host import ServeContext


class Busy(Exception):
    """A stream does not end in time; it goes on as it was."""


class Service:
    """Starts, changes and ends streams; may be called from any thread, one change at a time.

    Args:
        engine: Loaded networks.
        shared: The same networks, for many streams at once.
        context: What the streams share.
    """

    def __init__(self, engine: Engine, shared: SharedExtractors, context: ServeContext) -> None:
        self._engine, self._shared, self._context = engine, shared, context
        self._hosts: dict[str, StreamHost] = {}
        self._roster = Roster(context.folder)
        self.guard: Final = CrashGuard(context.folder, context.warn)
        self._lock = threading.Lock()
        self._limit: Final = context.settings.serve.max_streams

    @property
    def hosts(self) -> Mapping[str, StreamHost]:
        """Name → stream, as it is now."""
        return dict(self._hosts)

    def start(self, entries: Iterable[StreamEntry]) -> None:
        """Begins with the file's streams and what the API changed before.

        Raises:
            ConfigError: There are too many, or a source or a sink is of no known kind.
            StateError: The changes kept from before are damaged.
        """
        wanted = tuple(entries)
        for entry in wanted:
            _check_kinds(entry)
        with self._lock:
            self._roster.load(wanted)
            self._check(len(self._roster.entries))
            self._apply()

    def reload(self, entries: Iterable[StreamEntry]) -> None:
        """Makes what runs fit a changed file; streams that failed are tried again.

        Raises:
            ConfigError: There are too many, or a source or a sink is of no known kind; nothing was
                changed.
            StateUnwritable: The change cannot be kept; nothing was changed.
            Busy: Streams do not end; the others are as the file wants them.
        """
        wanted = tuple(entries)
        for entry in wanted:
            _check_kinds(entry)
        with self._lock:
            names = {entry.name for entry in wanted}
            self._check(len(names | (self._roster.entries.keys() - names)))
            self._roster.reload(wanted)
            for name in self._roster.entries:
                self._release(name)
            self._apply(again=True)

    def put(self, entry: StreamEntry) -> bool:
        """Adds a stream, or changes one; a changed one goes on from its state.

        Returns:
            Whether it is new.

        Raises:
            ConfigError: There are too many, or its source or a sink is of no known kind.
            StateUnwritable: The change cannot be kept; nothing was changed.
            Busy: The old one does not end; it goes on.
        """
        _check_kinds(entry)
        with self._lock:
            new = entry.name not in self._hosts
            self._check(len(self._roster.entries.keys() | {entry.name}))
            self._roster.put(entry)
            if not new:
                self._end_or_undo(entry.name, final=False)
            self.guard.release(entry.name)
            self._begin(entry)
            return new

    def delete(self, name: str) -> bool:
        """Ends a stream for good; False when there is none of the name.

        Raises:
            StateUnwritable: The change cannot be kept; nothing was changed.
            Busy: It does not end; it goes on.
        """
        with self._lock:
            if name not in self._hosts:
                return False
            self._roster.delete(name)
            self._end_or_undo(name, final=True)
            self.guard.release(name)
            self._context.metrics.remove(name)
            return True

    def stop(self) -> tuple[str, ...]:
        """Ends the process's part in all streams; they can go on from their states.

        Returns:
            The streams that did not end in time.
        """
        with self._lock:
            self.guard.close()
            for host in self._hosts.values():
                host.stop(final=False)
            deadline = time.monotonic() + STOP_SECONDS
            return tuple(
                name
                for name, host in self._hosts.items()
                if not host.join(max(0.0, deadline - time.monotonic()))
            )

    def _check(self, count: int) -> None:
        if count > self._limit:
            raise ConfigError(f"{count} streams; serve.max_streams allows {self._limit}")

    def _apply(self, *, again: bool = False) -> None:
        wanted = self._roster.entries
        busy: list[str] = []
        for name in [name for name in self._hosts if name not in wanted]:
            try:
                self._end(name, final=True)
            except Busy as error:
                busy.append(str(error))
            else:
                self._context.metrics.remove(name)
        # Suspects last: the others do not wait for them.
        for name in sorted(wanted, key=self.guard.suspect):
            entry, host = wanted[name], self._hosts.get(name)
            if host is not None:
                idle = again and host.status.state in {"failed", "stopped"}
                if host.entry == entry and not idle:
                    continue
                try:
                    self._end(name, final=False)
                except Busy as error:
                    busy.append(str(error))
                    continue
            self._begin(entry)
        if busy:
            raise Busy("; ".join(busy))

    def _begin(self, entry: StreamEntry) -> None:
        engine = replace(self._engine, extractors=self._shared.views(entry.name))
        host = StreamHost(entry, engine, self._context, self.guard)
        self._hosts[entry.name] = host
        host.start()

    def _release(self, name: str) -> None:
        """Lets a stream that is held back be tried again."""
        host = self._hosts.get(name)
        if host is None or host.status.state == "failed":
            self.guard.release(name)

    def _end_or_undo(self, name: str, *, final: bool) -> None:
        try:
            self._end(name, final=final)
        except Busy:
            self._roster.undo()
            raise

    def _end(self, name: str, *, final: bool) -> None:
        host = self._hosts[name]
        host.stop(final=final)
        if not host.join(STOP_SECONDS):
            if not host.resume():
                self._shared.release(name)
                self._begin(host.entry)
            raise Busy(f"{name} does not end within {STOP_SECONDS:g} s; try again")
        if final:
            host.forget()
        self._shared.release(name)
        del self._hosts[name]


def _check_kinds(entry: StreamEntry) -> None:
    """Refuses what could never work; whether the rest works, only time tells."""
    try:
        check_source(entry.source.get_secret_value())
        for sink in entry.sinks:
            check_sink(sink)
    except (SinkError, SourceError) as error:
        raise ConfigError(f"{entry.name}: {error}") from error
