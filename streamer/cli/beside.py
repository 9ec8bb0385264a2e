"""Keeps the progress line out of the way of events on the same terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudevents.core.v1.event import CloudEvent

    from streamer.cli.progress import Reporter
    from streamer.connectors.sinks.sink import Sink


class BesideProgress:
    """A sink that clears the live line while another sink writes.

    Args:
        sink: Who takes the events.
        reporter: Whose line it is.
    """

    def __init__(self, sink: Sink, reporter: Reporter) -> None:
        self._sink = sink
        self._reporter = reporter

    @property
    def name(self) -> str:
        """The other sink's."""
        return self._sink.name

    def open(self) -> None:
        """See `Sink`."""
        self._sink.open()

    def add(self, event: CloudEvent) -> None:
        """See `Sink`."""
        with self._reporter.aside():
            self._sink.add(event)

    def flush(self) -> None:
        """See `Sink`."""
        self._sink.flush()

    def close(self) -> None:
        """See `Sink`."""
        self._sink.close()
