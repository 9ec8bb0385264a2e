"""What people (or log collectors) see on standard error while a film plays."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Protocol

from streamer.lines import one_line, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from fractions import Fraction

    import structlog
    from rich.console import Console, RenderableType
    from rich.text import Text

    from streamer.cli.statistics import Summary
    from streamer.config.sections import LoggingSection
    from streamer.pipeline.progress import Fault, Progress

_REDRAW_SECONDS: Final = 0.1
_LOG_SECONDS: Final = 10.0
_FAULTS: Final[dict[Fault, str]] = {
    "packet": "packets not decoded",
    "picture": "pictures damaged",
    "time": "frames out of order",
}


class Reporter(Protocol):
    """Tells how a run goes. All calls come from one thread."""

    def loading(self, what: str) -> None:
        """Say what is loaded before the first picture can be looked at."""

    def update(self, progress: Progress) -> None:
        """Says how far the run is; cheap enough to call for every picture."""

    def warn(self, message: str, **fields: object) -> None:
        """Says that something is odd, in one line.

        Args:
            message: For people.
            fields: For log lines.
        """

    def aside(self) -> AbstractContextManager[None]:
        """Clears the live line while something else is printed on the same terminal."""

    def finish(self, summary: Summary) -> None:
        """Ends the live line and gives the closing numbers."""

    def close(self) -> None:
        """Ends the live line without a summary; may be called twice."""


def make_reporter(stream: str, settings: LoggingSection) -> Reporter:
    """Chooses the reporter.

    Args:
        stream: The stream's name.
        settings: ``json_logs`` beats ``quiet``: log lines then hold warnings and errors only.

    Returns:
        JSON lines, silence, a live line on a terminal, or warnings and summary elsewhere.
    """
    if settings.json_logs:
        from streamer.logs import json_logger

        return JsonReporter(
            json_logger(debug=settings.debug).bind(stream=stream), quiet=settings.quiet
        )
    if settings.quiet:
        return QuietReporter()
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    return LiveReporter(stream, console) if console.is_terminal else PlainReporter(console)


class QuietReporter:
    """Says nothing; errors still end the run with their line."""

    def loading(self, what: str) -> None:
        """Says nothing."""

    def update(self, progress: Progress) -> None:
        """Says nothing."""

    def warn(self, message: str, **fields: object) -> None:
        """Says nothing."""

    def aside(self) -> AbstractContextManager[None]:
        """There is no live line."""
        return nullcontext()

    def finish(self, summary: Summary) -> None:
        """Says nothing."""

    def close(self) -> None:
        """There is nothing to end."""


class PlainReporter(QuietReporter):
    """Warnings and the summary, for standard error that is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def warn(self, message: str, **fields: object) -> None:
        """Prints the message."""
        report(message, label="warning", style="bold yellow")

    def finish(self, summary: Summary) -> None:
        """Prints the table."""
        self._console.print(summary_table(summary))


class LiveReporter(PlainReporter):
    """A line that is redrawn in place."""

    def __init__(self, stream: str, console: Console) -> None:
        from rich.live import Live

        super().__init__(console)
        self._stream = one_line(stream)
        self._started = self._drawn = time.monotonic()
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def loading(self, what: str) -> None:
        """Draw it as the line."""
        from rich.text import Text

        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(self._stream, style="bold")
        line.append(f"  loading {what} …", style="dim")
        self._live.update(line, refresh=True)

    def update(self, progress: Progress) -> None:
        """Redraws the line, at most ten times a second."""
        now = time.monotonic()
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        factor = float(progress.position) / max(now - self._started, 1e-9)
        self._live.update(progress_line(self._stream, progress, factor), refresh=True)

    def warn(self, message: str, **fields: object) -> None:
        """Prints the message above the line."""
        with self.aside():
            super().warn(message)

    def aside(self) -> AbstractContextManager[None]:
        """Clears the line and draws it again."""
        return self._aside()

    def finish(self, summary: Summary) -> None:
        """Replaces the line by the table."""
        self._live.stop()
        super().finish(summary)

    def close(self) -> None:
        """Clears the line."""
        self._live.stop()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        running = self._live.is_started
        self._live.stop()
        try:
            yield
        finally:
            if running:
                self._live.start()
                # The line stays away for a moment: what was printed may still be in a pipe.
                self._drawn = time.monotonic()


class JsonReporter:
    """JSON lines: progress every ten seconds, warnings, and the summary."""

    def __init__(self, logger: structlog.BoundLogger, *, quiet: bool = False) -> None:
        self._logger = logger
        self._quiet = quiet
        self._started = self._logged = time.monotonic()

    def loading(self, what: str) -> None:
        """Log ``loading``."""
        if not self._quiet:
            self._logger.info("loading", what=what)

    def update(self, progress: Progress) -> None:
        """Logs ``progress``."""
        now = time.monotonic()
        if self._quiet or now - self._logged < _LOG_SECONDS:
            return
        self._logged = now
        self._logger.info(
            "progress",
            position_seconds=float(progress.position),
            duration_seconds=None if progress.duration is None else float(progress.duration),
            realtime_factor=round(float(progress.position) / (now - self._started), 3),
            shots=progress.shots,
            scenes=progress.scenes,
            lag_seconds=progress.lag,
        )

    def warn(self, message: str, **fields: object) -> None:
        """Logs ``warning`` with the message and its fields."""
        self._logger.warning("warning", message=one_line(message), **fields)

    def aside(self) -> AbstractContextManager[None]:
        """There is no live line."""
        return nullcontext()

    def finish(self, summary: Summary) -> None:
        """Logs ``summary``."""
        if not self._quiet:
            self._logger.info("summary", **summary_fields(summary))

    def close(self) -> None:
        """There is nothing to end."""


def progress_line(stream: str, progress: Progress, factor: float) -> Text:
    """Draws the live line.

    Args:
        stream: The stream's name.
        progress: How far it is.
        factor: Seconds of input a second.
    """
    from rich.text import Text

    whole = f" / {_clock(progress.duration)}" if progress.duration is not None else ""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(stream, style="bold")
    line.append(f"  {_clock(progress.position)}{whole}", style="cyan")
    line.append(f"  {factor:.1f}× real time")
    line.append(f"  {progress.shots} shots  {progress.scenes} scenes", style="green")
    line.append(f"  lag {progress.lag:.1f} s", style="yellow" if progress.lag > 1 else "dim")
    return line


def summary_fields(summary: Summary) -> dict[str, object]:
    """Gives the summary as plain values in base units, for log lines."""
    return {
        "ended": summary.ended,
        "position_seconds": float(summary.position),
        "shots": summary.shots,
        "scenes": summary.scenes,
        "boundaries": summary.boundaries,
        "wall_seconds": round(summary.wall_seconds, 3),
        "realtime_factor": round(summary.realtime_factor, 3),
        "latency_p50_seconds": summary.latency_p50,
        "latency_p95_seconds": summary.latency_p95,
        "cpu_seconds": round(summary.cpu_seconds, 3),
        "peak_memory_bytes": summary.peak_bytes,
        "failed_packets": summary.faults.get("packet", 0),
        "damaged_pictures": summary.faults.get("picture", 0),
        "dropped_frames": summary.faults.get("time", 0),
        "lost_sound_seconds": round(summary.lost_sound, 3),
    }


def summary_table(summary: Summary) -> RenderableType:
    """Draws the closing table."""
    from rich.table import Table

    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f} s"

    table = Table(title=one_line(summary.stream), title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in (
        ("ended", summary.ended),
        ("input", _clock(summary.position)),
        ("shots", f"{summary.shots:,}"),
        ("scenes", f"{summary.scenes:,}"),
        ("boundaries reported", f"{summary.boundaries:,}"),
        ("× real time", f"{summary.realtime_factor:.1f}"),
        ("latency p50", seconds(summary.latency_p50)),
        ("latency p95", seconds(summary.latency_p95)),
        ("CPU", seconds(summary.cpu_seconds)),
        ("peak memory", f"{summary.peak_bytes / 2**20:,.0f} MiB"),
        *_faults(summary),
    ):
        table.add_row(name, value)
    return table


def _faults(summary: Summary) -> Iterator[tuple[str, str]]:
    """What was wrong with the input, as far as there was anything."""
    for fault, words in _FAULTS.items():
        if times := summary.faults.get(fault, 0):
            yield words, f"{times:,}"
    if summary.lost_sound:
        yield "sound given up", f"{summary.lost_sound:.1f} s"


def _clock(seconds: Fraction) -> str:
    whole = max(int(seconds), 0)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
