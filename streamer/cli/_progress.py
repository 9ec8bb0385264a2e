"""Report on standard error how a run goes, to people or to log collectors."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Protocol

from streamer.cli._render import progress_line, summary_fields, summary_table
from streamer.lines import one_line, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import structlog
    from cloudevents.core.v1.event import CloudEvent
    from rich.console import Console

    from streamer.cli._monitor import Summary
    from streamer.config.sections import LoggingSection
    from streamer.connectors.sinks.sink import Sink
    from streamer.pipeline.progress import Progress

_REDRAW_SECONDS: Final = 0.1
_LOG_SECONDS: Final = 10.0


class Reporter(Protocol):
    """Report the progress of a run. All calls come from one thread."""

    def loading(self, what: str) -> None:
        """Report what is loaded before the first frame is decoded."""

    def update(self, progress: Progress) -> None:
        """Report the position; cheap enough to call for every frame."""

    def warn(self, message: str, **fields: object) -> None:
        """Report a warning in one line.

        Args:
            message: For people.
            fields: For log lines.
        """

    def aside(self) -> AbstractContextManager[None]:
        """Clear the live line while something else is printed on the same terminal."""

    def finish(self, summary: Summary) -> None:
        """End the live line and print the closing numbers."""

    def close(self) -> None:
        """End the live line without a summary; may be called twice."""


def make_reporter(stream: str, settings: LoggingSection) -> Reporter:
    """Choose the reporter.

    Args:
        stream: The stream's name.
        settings: ``json_logs`` takes precedence over ``quiet``: log lines then hold warnings and
            errors only.

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
    """Report nothing; errors still end the run with their line."""

    def loading(self, what: str) -> None:
        """Print nothing."""

    def update(self, progress: Progress) -> None:
        """Print nothing."""

    def warn(self, message: str, **fields: object) -> None:
        """Print nothing."""

    def aside(self) -> AbstractContextManager[None]:
        """Return an empty context: there is no live line."""
        return nullcontext()

    def finish(self, summary: Summary) -> None:
        """Print nothing."""

    def close(self) -> None:
        """Do nothing: there is no live line."""


class PlainReporter(QuietReporter):
    """Print warnings and the summary, for standard error that is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def warn(self, message: str, **fields: object) -> None:
        """Print the message."""
        report(message, label="warning", style="bold yellow")

    def finish(self, summary: Summary) -> None:
        """Print the table."""
        self._console.print(summary_table(summary))


class LiveReporter(PlainReporter):
    """Redraw one line in place."""

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
        """Redraw the line, at most ten times a second."""
        now = time.monotonic()
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        factor = float(progress.position) / max(now - self._started, 1e-9)
        self._live.update(progress_line(self._stream, progress, factor), refresh=True)

    def warn(self, message: str, **fields: object) -> None:
        """Print the message above the line."""
        with self.aside():
            super().warn(message)

    def aside(self) -> AbstractContextManager[None]:
        """Clear the line, and draw it again on exit."""
        return self._aside()

    def finish(self, summary: Summary) -> None:
        """Replace the line by the table."""
        self._live.stop()
        super().finish(summary)

    def close(self) -> None:
        """Clear the line."""
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
                # What was printed may still be in a pipe; an immediate redraw would mix with it.
                self._drawn = time.monotonic()


class JsonReporter:
    """Log JSON lines: progress every ten seconds, warnings, and the summary."""

    def __init__(self, logger: structlog.BoundLogger, *, quiet: bool = False) -> None:
        self._logger = logger
        self._quiet = quiet
        self._started = self._logged = time.monotonic()

    def loading(self, what: str) -> None:
        """Log ``loading``."""
        if not self._quiet:
            self._logger.info("loading", what=what)

    def update(self, progress: Progress) -> None:
        """Log ``progress``."""
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
        """Log ``warning`` with the message and its fields."""
        self._logger.warning("warning", message=one_line(message), **fields)

    def aside(self) -> AbstractContextManager[None]:
        """Return an empty context: there is no live line."""
        return nullcontext()

    def finish(self, summary: Summary) -> None:
        """Log ``summary``."""
        if not self._quiet:
            self._logger.info("summary", **summary_fields(summary))

    def close(self) -> None:
        """Do nothing: there is no live line."""


class ReporterSink:
    """Clear a reporter's live line while a sink writes to the same terminal.

    Args:
        sink: Receives the events.
        reporter: Owns the line.
    """

    def __init__(self, sink: Sink, reporter: Reporter) -> None:
        self._sink = sink
        self._reporter = reporter

    @property
    def name(self) -> str:
        """Name of the wrapped sink."""
        return self._sink.name

    def open(self) -> None:
        """Open the wrapped sink."""
        self._sink.open()

    def add(self, event: CloudEvent) -> None:
        """Add an event to the wrapped sink while the line is cleared."""
        with self._reporter.aside():
            self._sink.add(event)

    def flush(self) -> None:
        """Flush the wrapped sink."""
        self._sink.flush()

    def close(self) -> None:
        """Close the wrapped sink."""
        self._sink.close()
