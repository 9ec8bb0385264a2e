"""The contract between the pipeline and whoever takes its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from cloudevents.core.v1.event import CloudEvent


class ConsumerGone(Exception):
    """Nobody reads the events any more (``streamer tail … | head``); the run ends quietly."""


class Sink(Protocol):
    """Takes events in order.

    The pipeline calls `open` once, `add` for each event from one thread, `flush` where it needs
    to know that everything so far is delivered, and `close` once, also after an error.
    """

    @property
    def name(self) -> str:
        """For logs and errors; never holds credentials."""

    def open(self) -> None:
        """Gets ready; fails early rather than at the first event.

        Raises:
            SinkError: Events could not be delivered there.
        """

    def add(self, event: CloudEvent) -> None:
        """Takes one event; returns when it is handed over or safely queued.

        Raises:
            SinkError: It could not be delivered.
            ConsumerGone: The reader left.
        """

    def flush(self) -> None:
        """Returns when every event taken so far is delivered.

        Raises:
            SinkError: Some could not be delivered.
            ConsumerGone: The reader left.
        """

    def close(self) -> None:
        """Delivers what is left and lets go; may be called twice."""


@runtime_checkable
class Durable(Protocol):
    """A sink that the system writes to the disk at leisure unless it is told to."""

    def sync(self) -> None:
        """Returns when what was taken so far would survive a power cut.

        Raises:
            SinkError: The disk does not take it.
        """
