"""What ``streamer serve`` says on standard error."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from streamer.lines import one_line, report
from streamer.logs import json_logger

if TYPE_CHECKING:
    from streamer.config.sections import LoggingSection


class ServeLog:
    """Whole lines, from any thread.

    Args:
        settings: JSON lines or plain ones, or errors only.
    """

    def __init__(self, settings: LoggingSection) -> None:
        self._quiet = settings.quiet
        self._json = json_logger(debug=settings.debug) if settings.json_logs else None
        self._lock = threading.Lock()

    def stream(self, name: str, message: str) -> None:
        """A stream has something to say."""
        with self._lock:
            if self._json is not None:
                self._json.warning("stream", stream=name, message=one_line(message))
            elif not self._quiet:
                report(message, label=name, style="bold yellow")

    def info(self, message: str) -> None:
        """Something happened to the process."""
        if self._quiet:
            return
        with self._lock:
            if self._json is not None:
                self._json.info("serve", message=one_line(message))
            else:
                report(message, label="serve", style="bold green")

    def error(self, message: str) -> None:
        """Something is wrong that does not end the process."""
        with self._lock:
            if self._json is not None:
                self._json.error("serve", message=one_line(message))
            else:
                report(message)
