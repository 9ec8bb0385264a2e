"""Run one epoch of a stream: an unbroken stretch of input on one clock."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.timeline import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streamer.events.payload import EventData, GapReason
    from streamer.pipeline.embedder import ShotEmbedder
    from streamer.pipeline.progress import Counts, StageTimes
    from streamer.pipeline.resume_point import ResumePoint
    from streamer.pipeline.segmentation import ShotConsumer
    from streamer.timeline import EmbeddedShot, Sound, StreamInfo, Timestamp


@dataclass(frozen=True, slots=True)
class MissingInput:
    """Why and since when input was missing.

    Attributes:
        reason: What happened.
        lost_from: Seconds since the Unix epoch of the last input before, None when not known.
        missing: Seconds of media, where the input itself says; else as the clock on the wall does.
        attempts: Connections tried until it continued.
        detail: One line for people, without credentials; at most 500 characters are kept.
    """

    reason: GapReason
    lost_from: float | None = None
    attempts: int = 0
    detail: str = ""
    missing: float | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of input on one clock.

    Attributes:
        number: Counts reconnections, from 0.
        start: First instant of its first shot.
        frame_rate: Frames a second, None for audio-only input.
        networks: Aspect slot → network that fills it.
        wallclock: Of the start, seconds since the Unix epoch, as the source reports.
        arrival: Of the start, seconds since the Unix epoch.
        gap: What is missing before it; None at the beginning of a stream.
    """

    number: int
    start: Timestamp
    frame_rate: Fraction | None
    networks: Mapping[str, str]
    wallclock: float | None = None
    arrival: float | None = None
    gap: MissingInput | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """The epoch has begun.

    Attributes:
        events: The gap before it, if there was one.
    """

    events: tuple[EventData, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """A shot was closed.

    Attributes:
        events: What follows from it.
        end: Where the shot ends.
        mark: Where to resume after it; None where that is not possible.
    """

    events: tuple[EventData, ...]
    end: Timestamp
    mark: ResumePoint | None


Step = Begun | Closed


class ClockTrail:
    """Keep the wall clock of recent frames until their shots are closed.

    It is bounded by the length of a shot.
    """

    def __init__(self) -> None:
        self._trail: deque[tuple[Timestamp, float | None, float | None]] = deque()

    def note(self, picture: Picture) -> None:
        """Keep the clock of a frame, if it has one."""
        if picture.wallclock is not None or picture.arrival is not None:
            self._trail.append((picture.start, picture.wallclock, picture.arrival))

    def take(self, start: Timestamp) -> tuple[float | None, float | None]:
        """Return wall clock and arrival of the frame at ``start``; drop everything before it."""
        while self._trail and self._trail[0][0] < start:
            self._trail.popleft()
        if self._trail and self._trail[0][0] == start:
            _, wallclock, arrival = self._trail[0]
            return wallclock, arrival
        return None, None


class EpochRun:
    """Split, embed and segment what one connection brings.

    Args:
        info: What the demuxer reports.
        embedder: Turns frames and audio into embedded shots.
        segmentation: The stream's; it continues from epoch to epoch. Shots that it has already
            taken are passed over.
        networks: Aspect slot → network that fills it.
        counts: Totals of the stream.
        times: Stage times of the stream.
        number: Of the epoch.
        missing: The input missing before it.
    """

    def __init__(
        self,
        info: StreamInfo,
        embedder: ShotEmbedder,
        segmentation: ShotConsumer,
        networks: Mapping[str, str],
        counts: Counts,
        times: StageTimes,
        *,
        number: int,
        missing: MissingInput | None = None,
    ) -> None:
        self._info, self._embedder = info, embedder
        self._segmentation, self._networks = segmentation, networks
        self._counts, self._times = counts, times
        self._number, self._missing = number, missing
        self._trail = ClockTrail()
        self._reached: Fraction | None = None
        self._lost_sound = Fraction(0)
        known = segmentation.epoch
        self._begun = known is not None and known.number == number
        last = segmentation.last
        self._taken = last[1].index if last is not None and last[0] == number else -1

    @property
    def begun(self) -> bool:
        """Whether the epoch has begun: its first frame or window of audio has come."""
        return self._begun

    @property
    def elapsed(self) -> Fraction:
        """Seconds of this epoch read so far."""
        start = self._embedder.start
        return (
            Fraction(0) if start is None or self._reached is None else self._reached - start.seconds
        )

    def missing_before(self, item: Picture | Sound) -> float:
        """Return the seconds between the end of what was read and a later item."""
        end = self._embedder.end
        return 0.0 if end is None else max(0.0, float(item.start.seconds - end.seconds))

    def take(self, item: Picture | Sound) -> Iterator[Step]:
        """Take the next decoded item; yield the steps that become known by it."""
        if isinstance(item, Picture):
            self._trail.note(item)
        shots = self._embedder.push(item)
        start = self._embedder.start
        if start is None:
            return
        yield from self._begin(start)
        if self._reached is None or item.start.seconds > self._reached:
            self._reached = max(start.seconds, item.start.seconds)
        yield from self._push(shots)

    def finish(self, *, lost: bool, stopped: bool = False) -> Iterator[Step]:
        """Close the running shot.

        Args:
            lost: The input may come back.
            stopped: The input was left before its end.
        """
        shots = self._embedder.finish(lost=lost, stopped=stopped)
        if self._embedder.start is not None:
            yield from self._begin(self._embedder.start)
        yield from self._push(shots)

    def _begin(self, start: Timestamp) -> Iterator[Step]:
        if self._begun:
            return
        self._begun = True
        wallclock, arrival = self._trail.take(start)
        epoch = Epoch(
            number=self._number,
            start=start,
            frame_rate=self._info.frame_rate,
            networks=self._networks,
            wallclock=wallclock,
            arrival=arrival,
            gap=self._missing,
        )
        yield Begun(tuple(self._segmentation.begin(epoch)))

    def _push(self, shots: Sequence[EmbeddedShot]) -> Iterator[Step]:
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
            yield Closed(tuple(events), embedded.shot.end, mark)
