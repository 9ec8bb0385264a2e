"""Show a run to people: progress line, warnings, closing summary."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING

from streamer.cli.statistics import RunStatistics
from streamer.events.payload import Gap
from streamer.pipeline.progress import Behind, Delivered, Disconnected, Opened, Progress

if TYPE_CHECKING:
    from streamer.cli.progress import Reporter
    from streamer.events.payload import EventData
    from streamer.pipeline.progress import Notice


class Watch:
    """Show one run on the terminal, as one of its watchers.

    Args:
        stream: The stream's name.
        reporter: Where it shows.
        notices: What sinks report, from any thread; shown by the thread of the run.
    """

    def __init__(
        self, stream: str, reporter: Reporter, notices: SimpleQueue[str] | None = None
    ) -> None:
        self._stream = stream
        self._reporter = reporter
        self._notices: SimpleQueue[str] = SimpleQueue() if notices is None else notices
        self._statistics = RunStatistics()

    def __call__(self, event: EventData | Notice) -> None:
        """Take an event or notice of the stream."""
        match event:
            case Progress():
                self.show_notices()
                self._reporter.update(event)
            case Opened(info, warnings):
                for warning in warnings:
                    self._reporter.warn(warning)
                if not info.has_sound:
                    self._reporter.warn("no sound: acoustic experts are absent")
                if not info.has_picture:
                    self._reporter.warn("no picture: splitting sound into fixed windows")
            case Delivered(boundary):
                self._statistics.event(boundary.latency_seconds)
            case Disconnected(reason, detail, wait):
                self._reporter.warn(
                    f"{detail}; trying again in {wait:.1f} s",
                    reason=reason,
                    wait_seconds=round(wait, 3),
                )
            case Gap(missing_seconds=missing):
                gap = "" if missing is None else f" after {missing:.1f} s"
                self._reporter.warn(
                    f"the input is back{gap}: epoch {event.epoch}",
                    reason=event.reason,
                    epoch=event.epoch,
                    missing_seconds=missing,
                )
            case Behind(stage, lag):
                self._reporter.warn(
                    f"{lag:.1f} s behind: {stage} is slow", stage=stage, lag_seconds=round(lag, 3)
                )

    def note(self, line: str) -> None:
        """Take a notice, from any thread."""
        self._notices.put(line)

    def show_notices(self) -> None:
        """Show what sinks and libraries reported."""
        while not self._notices.empty():
            self._reporter.warn(self._notices.get())

    def finish(self, progress: Progress, ended: str) -> None:
        """Print the summary."""
        self.show_notices()
        self._reporter.finish(
            self._statistics.summary(
                self._stream,
                ended,
                progress,
            )
        )
