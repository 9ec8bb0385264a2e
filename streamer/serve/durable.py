"""Events before the state that says they were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.connectors.sinks.sink import Durable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamer.connectors.sinks.sink import Sink
    from streamer.live.keeping import Keeper, ResumeState
    from streamer.pipeline.run import Counts


class EventsFirst:
    """Has the sinks write to the disk before each state: after a power cut none is ahead of them.

    Args:
        inner: Keeps the state.
        sinks: Of the stream.
        closed: Called when a state is on the disk that knows of more shots than the restored one.
    """

    def __init__(self, inner: Keeper, sinks: Sequence[Sink], closed: Callable[[], None]) -> None:
        self._inner, self._closed, self._shots = inner, closed, 0
        self._sinks = [sink for sink in sinks if isinstance(sink, Durable)]

    def restore(self, number: int | None, counts: Counts) -> ResumeState:
        """As ``inner`` does."""
        place = self._inner.restore(number, counts)
        self._shots = counts.shots
        return place

    def save(self, counts: Counts, place: ResumeState, *, exact: bool) -> None:
        """As ``inner`` does, behind the events.

        Raises:
            SinkError: Events are not on the disk; the state stays as it was.
            StateUnwritable: The state cannot be written.
        """
        for sink in self._sinks:
            sink.sync()
        self._inner.save(counts, place, exact=exact)
        if counts.shots > self._shots:
            self._closed()
