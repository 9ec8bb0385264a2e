"""One connection's input on its way to events."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.events.payload import Boundary, Gap, Scene
from streamer.pipeline.clock import ClockTrail
from streamer.pipeline.embedder import ShotEmbedder
from streamer.pipeline.engine import side_by_side
from streamer.pipeline.epoch import Epoch
from streamer.timeline import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamer.aspects.thinning import Thinner
    from streamer.config.settings import Settings
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.epoch import Gap
    from streamer.pipeline.outlet import Outlet
    from streamer.pipeline.resume_point import ResumePoint
    from streamer.pipeline.segmenting import Segmenting
    from streamer.pipeline.stages import StageTimes
    from streamer.timeline import EmbeddedShot, Instant, Sound, StreamInfo

FILE_BATCH = 8
"""Pieces of one aspect embedded together where latency does not matter."""


@dataclass(slots=True)
class Counts:
    """What happened since the beginning of a stream; events whether sent or not.

    Attributes:
        shots: Closed.
        scenes: Complete.
        boundaries: Decided.
        lost_sound: Seconds of sound that were given up before their shot was known.
    """

    shots: int = 0
    scenes: int = 0
    boundaries: int = 0
    lost_sound: float = 0.0

    def add(self, event: EventData) -> None:
        """Counts one event; shots are counted where they are taken, which may tell nobody."""
        self.scenes += isinstance(event, Scene)
        self.boundaries += isinstance(event, Boundary)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what happens in an epoch, on the thread of the run.

    Attributes:
        began: The epoch has begun, behind a gap or at the beginning.
        decided: A boundary was sent; with the end of the shot it waited for, if it did.
        closed: A shot's events were all sent; with where to go on behind it, if that is possible.
    """

    began: Callable[[Gap | None], None]
    decided: Callable[[Boundary, Instant | None], None]
    closed: Callable[[ResumePoint | None], None]


class EpochRun:
    """Splits, embeds, decides and reports what one connection brings.

    Args:
        info: What the demuxer said.
        settings: All stages'.
        engine: Loaded networks.
        segmentation: The stream's; it goes on from epoch to epoch.
        outlet: Where events leave.
        counts: Of the stream.
        times: Of the stream.
        listeners: Who is told.
        number: Of the epoch.
        gap: What is missing before it.
        prompt: Delay matters more than speed.
        resume: Goes on behind a shot of this epoch. Shots that the segmentation has already
            taken are passed over, whether or not this is given.
        thinner: Says what aspects leave out.
    """

    def __init__(
        self,
        info: StreamInfo,
        settings: Settings,
        engine: Engine,
        segmentation: Segmenting,
        outlet: Outlet,
        counts: Counts,
        times: StageTimes,
        listeners: Listeners,
        *,
        number: int,
        gap: Gap | None,
        prompt: bool,
        resume: ResumePoint | None = None,
        thinner: Thinner | None = None,
    ) -> None:
        self._info, self._engine = info, engine
        self._segmentation, self._outlet = segmentation, outlet
        self._counts, self._times, self._listeners = counts, times, listeners
        self._number, self._gap = number, gap
        self._trail = ClockTrail()
        self._reached: Fraction | None = None
        self._lost_sound = Fraction(0)
        known = segmentation.epoch
        self._begun = known is not None and known.number == number
        last = segmentation.last
        self._taken = last[1].index if last is not None and last[0] == number else -1
        self._embedder = ShotEmbedder(
            info,
            settings.shots,
            settings.aspects,
            settings.decode,
            engine.extractors,
            batch=1 if prompt else FILE_BATCH,
            workers=side_by_side(),
            resume=resume,
            times=times,
            shot_network=engine.shot_network,
            thinner=thinner,
        )

    @property
    def begun(self) -> bool:
        """Whether the epoch has begun: its first picture or window of sound has come."""
        return self._begun

    @property
    def elapsed(self) -> Fraction:
        """Seconds of this epoch read so far."""
        start = self._embedder.start
        return (
            Fraction(0) if start is None or self._reached is None else self._reached - start.seconds
        )

    def missing_before(self, item: Picture | Sound) -> float:
        """Seconds between the end of what was read and a later item."""
        end = self._embedder.end
        return 0.0 if end is None else max(0.0, float(item.start.seconds - end.seconds))

    def take(self, item: Picture | Sound) -> None:
        """Takes the next decoded item and sends what follows from it.

        Raises:
            SinkError: Events could not be delivered.
        """
        if isinstance(item, Picture):
            self._trail.note(item)
        shots = self._embedder.push(item)
        start = self._embedder.start
        if start is None:
            return
        self._begin(start)
        if self._reached is None or item.start.seconds > self._reached:
            self._reached = max(start.seconds, item.start.seconds)
        self._push(shots)

    def finish(self, *, lost: bool) -> None:
        """Closes the running shot.

        Args:
            lost: The input may come back.

        Raises:
            SinkError: Events could not be delivered.
        """
        shots = self._embedder.finish(lost=lost)
        if self._embedder.start is not None:
            self._begin(self._embedder.start)
        self._push(shots)

    def _begin(self, start: Instant) -> None:
        if self._begun:
            return
        self._begun = True
        wallclock, arrival = self._trail.take(start)
        epoch = Epoch(
            number=self._number,
            start=start,
            frame_rate=self._info.frame_rate,
            networks=self._engine.networks,
            wallclock=wallclock,
            arrival=arrival,
            gap=self._gap,
        )
        told = self._segmentation.begin(epoch)
        send_all(told, self._outlet, self._counts)
        gaps = [event for event in told if isinstance(event, Gap)]
        self._listeners.began(gaps[0] if gaps else None)

    def _push(self, shots: Sequence[EmbeddedShot]) -> None:
        if shots:
            before, self._lost_sound = self._lost_sound, self._embedder.lost_sound
            self._counts.lost_sound += float(self._lost_sound - before)
        for embedded in shots:
            clock = self._trail.take(embedded.shot.start)
            mark = self._embedder.mark(embedded.shot.index)
            if embedded.shot.index <= self._taken:
                continue
            began = time.perf_counter()
            events = self._segmentation.push(embedded, *clock)
            self._times.lap("segment", began)
            self._counts.shots += 1
            for boundary in send_all(events, self._outlet, self._counts):
                self._listeners.decided(boundary, embedded.shot.end)
            self._listeners.closed(mark)


def send_all(events: Sequence[EventData], outlet: Outlet, counts: Counts) -> list[Boundary]:
    """Sends events in order.

    Returns:
        The boundaries among them.
    """
    for event in events:
        outlet.send(event)
        counts.add(event)
    return [event for event in events if isinstance(event, Boundary)]
