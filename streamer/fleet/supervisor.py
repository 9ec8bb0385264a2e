"""Keep one stream read, by the messages of the process that reads it."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Self, cast

from pydantic import BaseModel, ConfigDict
from tenacity import RetryCallState, Retrying, wait_exponential

from streamer.events.payload import GapReason
from streamer.metrics.meter import StreamMeter
from streamer.pipeline.progress import Disconnected, Fault, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.fleet.request import StreamRequest
    from streamer.metrics.metrics import Metrics
    from streamer.pipeline.progress import Stage


class Numbers(BaseModel):
    """How far a stream is; see `streamer.pipeline.progress.Progress`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: float
    shots: int
    lag: float
    epoch: int
    drift: float
    spent: dict[str, float]
    thinning: int
    skipped: dict[str, int]
    faults: dict[Fault, int]
    lost_sound: float

    @classmethod
    def of(cls, progress: Progress) -> Self:
        """As plain values."""
        return cls(
            position=float(progress.position),
            shots=progress.shots,
            lag=progress.lag,
            epoch=progress.epoch,
            drift=progress.drift,
            spent={str(stage): seconds for stage, seconds in progress.spent.items()},
            thinning=progress.thinning,
            skipped=dict(progress.skipped),
            faults=dict(progress.faults),
            lost_sound=progress.lost_sound,
        )

    def progress(self) -> Progress:
        """Back again; scenes and boundaries are not known where streams are read."""
        return Progress(
            position=Fraction(self.position),
            shots=self.shots,
            lag=self.lag,
            epoch=self.epoch,
            drift=self.drift,
            spent=cast("dict[Stage, float]", self.spent),
            thinning=self.thinning,
            skipped=self.skipped,
            faults=self.faults,
            lost_sound=self.lost_sound,
        )


class WorkerMessage(BaseModel):
    """Something that happened to a stream.

    Attributes:
        stream: Whose.
        opened: Its input is open.
        progress: How far it is, once a second.
        lost: Why its input went away, in one word.
        warnings: Lines for people, without credentials.
        ended: It is over: 0, or the exit code of `error`.
        error: Why it ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    opened: bool = False
    progress: Numbers | None = None
    lost: GapReason | None = None
    warnings: tuple[str, ...] = ()
    ended: int | None = None
    error: str = ""


_PAUSE: Final = wait_exponential(multiplier=1.0, max=60.0)
_PROVEN_SECONDS: Final = 60.0
_DEATHS: Final = 3
"""Of processes in a row that read nothing else, after which a stream is held back."""


class StreamSupervisor:
    """Decide when a stream is started in a process, and follow the messages about it.

    Args:
        request: Which stream.
        max_streams_per_process: Most streams in one process with it.
        metrics: Served somewhere, or None.
        warn: Takes one line for people.
    """

    def __init__(
        self,
        request: StreamRequest,
        max_streams_per_process: int,
        metrics: Metrics | None,
        warn: Callable[[str], None],
    ) -> None:
        self.request, self.max_streams_per_process = request, max_streams_per_process
        self._warn = warn
        self._watch = None if metrics is None else _Watch(metrics, request.stream)
        self._due = self._began = 0.0
        self._failures = RetryCallState(Retrying(), None, (), {})
        self._deaths = 0
        self.placed = self.finished = self.reading = self.held = False

    @property
    def due(self) -> bool:
        """Whether some process has to begin it."""
        over = self.placed or self.finished or self.held
        return not over and time.monotonic() >= self._due

    def begin(self) -> None:
        """A process has it now."""
        self._began, self.placed = time.monotonic(), True

    def take(self, message: WorkerMessage) -> None:
        """Its process says something."""
        if message.opened or message.progress is not None:
            self.reading = True
        elif message.lost is not None:
            self.reading = False
        if self._watch is not None:
            self._watch.take(message)
        for warning in message.warnings:
            self._warn(f"{self.request.stream}: {warning}")
        if message.ended is not None:
            self.end(message.ended, message.error or f"it ended with {message.ended}")

    def end(self, code: int, reason: str, *, fatal: bool = False) -> None:
        """Note that no process has it any more.

        Args:
            code: 0 at the end of its input, or when it was told to stop.
            reason: Why else.
            fatal: Its process was killed, and read nothing else.
        """
        self.placed = self.reading = False
        if self._watch is not None:
            self._watch.down()
        if code == 0 or self.finished:
            self.finished = True
            return
        if time.monotonic() - self._began > _PROVEN_SECONDS:
            self._failures.attempt_number, self._deaths = 1, 0
        self._deaths = self._deaths + 1 if fatal else 0
        if self._deaths >= _DEATHS:
            self.held = True
            self._warn(
                f"{self.request.stream}: {reason}, {self._deaths} times in a row; held back until "
                "it is added again (streamer streams add) or removed (streamer streams remove)"
            )
            return
        pause = _PAUSE(self._failures)
        self._failures.attempt_number += 1
        self._due = time.monotonic() + pause
        self._warn(f"{self.request.stream}: {reason}; again in {pause:g} s")


class _Watch:
    """Turn the messages about a stream into its metrics."""

    def __init__(self, metrics: Metrics, stream: str) -> None:
        self._metrics = metrics.stream(stream)
        self._metrics.up(False)
        self._meter = StreamMeter(self._metrics)

    def take(self, message: WorkerMessage) -> None:
        """Measure what a message says."""
        if message.opened:
            self._metrics.up(True)
        if message.progress is not None:
            self._meter(message.progress.progress())
        if message.lost is not None:
            self._meter(Disconnected(message.lost, "", 0.0))

    def down(self) -> None:
        """Say that no process reads the stream now."""
        self._metrics.up(False)
