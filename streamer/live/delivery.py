"""Consume the events of a stream: hand them to sinks, keep its state, tell who watches."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final, Literal, Protocol

from streamer.connectors.sinks.sink import Durable
from streamer.errors import SourceError
from streamer.events.cloudevent import cloud_event
from streamer.pipeline.progress import (
    Behind,
    Delivered,
    Disconnected,
    Opened,
    Progress,
    SavePoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from streamer.connectors.sinks.sink import Sink
    from streamer.events.ids import EventKind
    from streamer.events.payload import EventData
    from streamer.pipeline.progress import Notice

Emit = Literal["boundaries", "shots", "scenes"]

EMITTED: Final[Mapping[Emit, EventKind]] = {
    "boundaries": "boundary",
    "shots": "shot",
    "scenes": "scene",
}
"""What each choice of `output.emit` sends; kinds that are not here are always sent."""

_NOTICES: Final = (Progress, Opened, Disconnected, Behind, Delivered, SavePoint)


class Store(Protocol):
    """Keeps where a stream can be resumed."""

    def save(self, point: SavePoint) -> None:
        """Keep a save point.

        Raises:
            StateUnwritable: It cannot be kept for now; the one before is as it was.
        """


def deliver(
    events: Generator[EventData | Notice, None, None],
    sinks: Sequence[Sink],
    *,
    emit: Sequence[Emit] = ("boundaries",),
    watchers: Sequence[Callable[[EventData | Notice], None]] = (),
    store: Store | None = None,
) -> None:
    """Run a stream to its end.

    Events are on the disk of durable sinks before the state that says so: after a power cut the
    state is never ahead of them.

    Args:
        events: From `streamer.live.stream.StreamRun.events`.
        sinks: Opened; each takes the events in order.
        emit: Kinds of events that are sent.
        watchers: Called with every event and notice after the sinks have taken it.
        store: Keeps the save points.

    Raises:
        SourceError: As the iterator raises it, after everything before it was delivered.
        SinkError: Events could not be delivered.
        ConsumerGone: Nobody reads them any more.
        StateUnwritable: The state cannot be kept.
    """
    withheld = {*EMITTED.values()} - {EMITTED[each] for each in emit}
    durable = [sink for sink in sinks if isinstance(sink, Durable)]
    with closing(events):
        try:
            for event in events:
                if isinstance(event, SavePoint):
                    if store is not None:
                        for sink in durable:
                            sink.sync()
                        store.save(event)
                elif not isinstance(event, _NOTICES) and event.kind not in withheld:
                    wrapped = cloud_event(event)
                    for each in sinks:
                        each.add(wrapped)
                for watch in watchers:
                    watch(event)
        except SourceError:
            _flush(sinks)
            raise
        _flush(sinks)


def _flush(sinks: Sequence[Sink]) -> None:
    for sink in sinks:
        sink.flush()
