"""One stream that a worker keeps read, whichever process reads it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from streamer.metrics.meter import StreamMeter
from streamer.pipeline.progress import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.fleet.reader_message import ReaderMessage
    from streamer.fleet.request import StreamRequest
    from streamer.metrics.metrics import Metrics

_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 60.0
_PROVEN_SECONDS: Final = 60.0
_DEATHS: Final = 3
"""Of processes in a row that read nothing else, after which a stream is held back."""


class Reader:
    """Knows when a stream has to be begun, and what its process says about it.

    Args:
        request: Which stream.
        crowd: Most streams in one process with it.
        metrics: Served somewhere, or None.
        warn: Takes one line for people.
    """

    def __init__(
        self,
        request: StreamRequest,
        crowd: int,
        metrics: Metrics | None,
        warn: Callable[[str], None],
    ) -> None:
        self.request, self.crowd = request, crowd
        self._warn = warn
        self._watch = None if metrics is None else _Watch(metrics, request.stream)
        self._due = self._began = 0.0
        self._pause = _FIRST_PAUSE
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

    def take(self, telling: ReaderMessage) -> None:
        """Its process says something."""
        if telling.opened or telling.progress is not None:
            self.reading = True
        elif telling.lost is not None:
            self.reading = False
        if self._watch is not None:
            self._watch.take(telling)
        for warning in telling.warnings:
            self._warn(f"{self.request.stream}: {warning}")
        if telling.ended is not None:
            self.end(telling.ended, telling.error or f"it ended with {telling.ended}")

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
            self._pause, self._deaths = _FIRST_PAUSE, 0
        self._deaths = self._deaths + 1 if fatal else 0
        if self._deaths >= _DEATHS:
            self.held = True
            self._warn(
                f"{self.request.stream}: {reason}, {self._deaths} times in a row; held back until "
                "it is added again (streamer streams add) or removed (streamer streams remove)"
            )
            return
        self._due = time.monotonic() + self._pause
        self._warn(f"{self.request.stream}: {reason}; again in {self._pause:g} s")
        self._pause = min(_LAST_PAUSE, 2 * self._pause)


class _Watch:
    """Turn the messages about a stream into its metrics."""

    def __init__(self, metrics: Metrics, stream: str) -> None:
        self._metrics = metrics.stream(stream)
        self._metrics.up(False)
        self._meter = StreamMeter(self._metrics)

    def take(self, message: ReaderMessage) -> None:
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
