"""Where a stream's events leave."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from streamer.events.cloudevent import cloud_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streamer.config.sections import Emit
    from streamer.connectors.sinks.sink import Sink
    from streamer.events.ids import EventKind
    from streamer.events.payload import EventData
    from streamer.pipeline.stages import StageTimes

ASKED_FOR: Final[Mapping[Emit, EventKind]] = {
    "boundaries": "boundary",
    "shots": "shot",
    "scenes": "scene",
}
"""What each choice of `output.emit` sends; kinds that are not here are sent always."""


class Outlet:
    """Hands events of the chosen kinds to every sink, in order.

    Args:
        sinks: Opened.
        emit: What was asked for.
        times: Told how long sinks take.
    """

    def __init__(self, sinks: Sequence[Sink], emit: Iterable[Emit], times: StageTimes) -> None:
        self._sinks, self._times = sinks, times
        self._withheld = {*ASKED_FOR.values()} - {ASKED_FOR[each] for each in emit}

    def send(self, data: EventData) -> None:
        """Returns when every sink has taken the event.

        Raises:
            SinkError: One could not.
            ConsumerGone: Nobody reads them any more.
        """
        if data.kind in self._withheld:
            return
        began = time.perf_counter()
        event = cloud_event(data)
        for sink in self._sinks:
            sink.add(event)
        self._times.lap("sinks", began)

    def flush(self) -> None:
        """Returns when everything sent is delivered.

        Raises:
            SinkError: Something could not be delivered.
        """
        for sink in self._sinks:
            sink.flush()
