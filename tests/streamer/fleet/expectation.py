"""What a stream's events are, by the definition of their ids alone."""

from __future__ import annotations

from streamer.events.ids import event_id
from streamer.fleet.record import ShotRecord


def expected(stream: list[ShotRecord]) -> set[str]:
    """Of shots that all end in cuts, with a threshold of 0: each is a scene of its own."""
    found: set[str] = set()
    before: ShotRecord | None = None
    for record in stream:
        if record.shot is None:
            continue
        name, number, start = record.stream, record.epoch.number, record.shot.shot.start
        found |= {event_id("shot", name, number, start), event_id("scene", name, number, start)}
        if before is not None:
            found.add(event_id("boundary", name, number, start))
        if record.epoch.gap is not None and record.shot.shot.index == 0:
            found.add(event_id("discontinuity", name, number, record.epoch.start))
        before = record
    return found
