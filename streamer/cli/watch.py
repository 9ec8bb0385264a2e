"""Shows a run to people: progress line, warnings, closing summary."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING

from streamer.cli.statistics import RunStatistics

if TYPE_CHECKING:
    from streamer.cli.progress import Reporter
    from streamer.events.payload import BoundaryData, DiscontinuityData, GapReason
    from streamer.pipeline.observer import Progress
    from streamer.pipeline.stages import Stage
    from streamer.timeline import StreamInfo


class Watch:
    """The command line's observer of one run.

    Args:
        stream: The stream's name.
        reporter: Where it shows.
        notices: What sinks have to say, from any thread; shown by the thread of the run.
    """

    def __init__(
        self, stream: str, reporter: Reporter, notices: SimpleQueue[str] | None = None
    ) -> None:
        self._stream = stream
        self._reporter = reporter
        self._notices: SimpleQueue[str] = SimpleQueue() if notices is None else notices
        self._statistics = RunStatistics()

    def opened(self, info: StreamInfo, warnings: tuple[str, ...]) -> None:
        """Passes the decoder's warnings on and says what is missing."""
        for warning in warnings:
            self._reporter.warn(warning)
        if not info.has_sound:
            self._reporter.warn("no sound: acoustic experts are absent")
        if not info.has_picture:
            self._reporter.warn("no picture: splitting sound into fixed windows")

    def progressed(self, progress: Progress) -> None:
        """Moves the progress line."""
        self.tell()
        self._reporter.update(progress)

    def decided(self, boundary: BoundaryData, delay: float | None) -> None:
        """Notes the latency."""
        self._statistics.event(boundary.latency_seconds)

    def lost(self, reason: GapReason, detail: str, wait: float) -> None:
        """Says that the input went away."""
        self._reporter.warn(
            f"{detail}; trying again in {wait:.1f} s", reason=reason, wait_seconds=round(wait, 3)
        )

    def returned(self, discontinuity: DiscontinuityData) -> None:
        """Says that the input is back."""
        missing = discontinuity.missing_seconds
        gap = "" if missing is None else f" after {missing:.1f} s"
        self._reporter.warn(
            f"the input is back{gap}: epoch {discontinuity.epoch}",
            reason=discontinuity.reason,
            epoch=discontinuity.epoch,
            missing_seconds=missing,
        )

    def slow(self, stage: Stage, lag: float) -> None:
        """Names the stage that is slow."""
        self._reporter.warn(
            f"{lag:.1f} s behind: {stage} is slow", stage=stage, lag_seconds=round(lag, 3)
        )

    def tell(self) -> None:
        """Shows the notices that came."""
        while not self._notices.empty():
            self._reporter.warn(self._notices.get())

    def finish(self, progress: Progress, ended: str) -> None:
        """Prints the summary."""
        self.tell()
        self._reporter.finish(
            self._statistics.summary(
                self._stream,
                ended,
                progress,
            )
        )
