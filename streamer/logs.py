"""Lines of a process on standard error: its own, and one shaped line for what libraries log."""

from __future__ import annotations

import logging
import queue
import re
import signal
import sys
import threading
import time
import warnings
from collections import OrderedDict
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TextIO

from streamer.lines import one_line, place, report

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import structlog

QUIET_SECONDS: Final = 30.0
"""Between two lines of a kind that libraries bring about."""

MAX_KINDS: Final = 256
_CLOSE_SECONDS: Final = 1.0
# Loggers whose words are passed on, and the name that they get: they hold nothing of a request.
_SPOKEN: Final = {"streamer": "", "aiokafka": "kafka: ", "faust": "kafka: ", "mode": "kafka: "}
# What a message's template leaves open.
_FIELD: Final = re.compile(r"%[-#0-9. +]*[a-zA-Z]")
_CALLBACK: Final = "Exception in callback"
# Their warnings report what passes by itself.
_ERRORS_ONLY: Final = frozenset({"aiokafka", "faust", "mode", "asyncio"})


def json_logger(*, debug: bool = False, file: TextIO | None = None) -> structlog.BoundLogger:
    """Make a logger that writes one JSON object a line.

    Args:
        debug: Write debug lines too.
        file: Where to; standard error when None.

    Returns:
        A logger whose lines hold ``timestamp`` (UTC), ``level``, ``event`` and what is passed.
    """
    import structlog

    logger: structlog.BoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(file or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if debug else logging.INFO
        ),
    )
    return logger


class ProcessLog:
    """Write whole lines on standard error, from any thread.

    Args:
        name: Of the command: the label of its lines, or the ``event`` of JSON lines.
        quiet: Errors only.
        json_logs: JSON lines, which hold warnings also where ``quiet`` is set.
        debug: JSON debug lines too.
    """

    def __init__(
        self, name: str, *, quiet: bool = False, json_logs: bool = False, debug: bool = False
    ) -> None:
        self._name, self._quiet = name, quiet
        self._json = json_logger(debug=debug) if json_logs else None
        self._lock = threading.Lock()

    def stream(self, name: str, message: str) -> None:
        """Write a warning about a stream."""
        with self._lock:
            if self._json is not None:
                self._json.warning("stream", stream=name, message=one_line(message))
            elif not self._quiet:
                report(message, label=name, style="bold yellow")

    def info(self, message: str) -> None:
        """Write that something happened to the process."""
        if self._quiet:
            return
        with self._lock:
            if self._json is not None:
                self._json.info(self._name, message=one_line(message))
            else:
                report(message, label=self._name, style="bold green")

    def warning(self, message: str) -> None:
        """Write a warning about the process."""
        with self._lock:
            if self._json is not None:
                self._json.warning(self._name, message=one_line(message))
            elif not self._quiet:
                report(message, label="warning", style="bold yellow")

    def error(self, message: str) -> None:
        """Write an error that does not end the process."""
        with self._lock:
            if self._json is not None:
                self._json.error(self._name, message=one_line(message))
            else:
                report(message)


class RateLimit:
    """Let one of each kind pass in a time and count the others; may be called from any thread.

    Args:
        seconds: Shortest time between two of a kind.
        kinds: Most that are known; the one that passed longest ago is forgotten first.
    """

    def __init__(self, seconds: float, kinds: int = MAX_KINDS) -> None:
        self._seconds, self._kinds = seconds, kinds
        self._passed: OrderedDict[str, float] = OrderedDict()
        self._held: dict[str, int] = {}
        # Taken again by hooks that the garbage collector runs in the middle of a call.
        self._lock = threading.RLock()

    def passes(self, kind: str = "", now: float | None = None) -> int | None:
        """Decide about one.

        Args:
            kind: Of what is to pass.
            now: Reading of a monotonic clock; that of this moment when None.

        Returns:
            How many were held back since the last that passed; None holds this one back too.
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            if (last := self._passed.get(kind)) is not None and now - last < self._seconds:
                self._held[kind] = self._held.get(kind, 0) + 1
                return None
            self._passed[kind] = now
            self._passed.move_to_end(kind)
            if len(self._passed) > self._kinds:
                oldest, _ = self._passed.popitem(last=False)
                self._held.pop(oldest, None)
            return self._held.pop(kind, 0)

    def overdue(self, *, all_kinds: bool = False) -> dict[str, int]:
        """Take the counts of kinds of which nothing passed for the whole time.

        Args:
            all_kinds: Those held back a moment ago too.
        """
        now = time.monotonic()
        with self._lock:
            due = [
                kind
                for kind in self._held
                if all_kinds or now - self._passed.get(kind, now) >= self._seconds
            ]
            return {kind: self._held.pop(kind) for kind in due}


def counted(line: str, held: int) -> str:
    """Add to a line how many of its kind were held back."""
    return f"{line} (and {held} more like it)" if held else line


class LibraryLogs(logging.Handler):
    """Turn what libraries log, warn of and cannot raise into lines of this program's shape.

    While the context lasts no logger, warning, thread or destructor writes on standard error by
    itself. A line says which logger or hook it was, the class of the error and where it was raised:
    the words of a library may hold a request or an address with its token. Each kind is written
    once in a while, with the count of those in between. The last context entered holds.

    Args:
        say: Takes a line; called from a thread of its own.
        debug: Add the libraries' words, and what they log for information.
        seconds: Between two lines of a kind.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        debug: bool = False,
        seconds: float = QUIET_SECONDS,
    ) -> None:
        super().__init__(logging.INFO if debug else logging.WARNING)
        self._say, self._debug, self._seconds = say, debug, seconds
        self._limit = RateLimit(seconds)
        # Put from destructors too, where taking a lock could wait for ever.
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="library-logs", daemon=True)
        self._restore = ExitStack()

    def __enter__(self) -> Self:
        root = logging.getLogger()
        known = list(root.manager.loggerDict.values())
        for logger in [root, *(each for each in known if isinstance(each, logging.Logger))]:
            for handler in filter(_writes, list(logger.handlers)):
                logger.removeHandler(handler)
                self._restore.callback(logger.addHandler, handler)
                self._restore.callback(setattr, logger, "propagate", logger.propagate)
                logger.propagate = True
        root.addHandler(self)
        self._restore.callback(root.removeHandler, self)
        for module, name, hook in (
            (logging, "raiseExceptions", False),
            (warnings, "showwarning", self._warned),
            (sys, "unraisablehook", self._unraisable),
            (threading, "excepthook", self._thread_ended),
        ):
            self._restore.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, hook)
        # A signal that this thread could get would end the process instead of being handled.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._writer.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore.close()
        self._lines.put(None)
        self._writer.join(_CLOSE_SECONDS)

    def keep(self) -> None:
        """Enter the context for the rest of the process, its last moments included."""
        self.__enter__()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        try:
            self._shape(record)
        except Exception:  # noqa: BLE001  (a library's format or repr)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Count a record that cannot be formatted like any other."""
        self._note(record.name, f"{record.name}: a line that cannot be formatted")

    def _shape(self, record: logging.LogRecord) -> None:
        library = record.name.partition(".")[0]
        if library in _ERRORS_ONLY and record.levelno < logging.ERROR and not self._debug:
            return
        error = record.exc_info[1] if record.exc_info else None
        spoken = self._debug or library in _SPOKEN
        prefix = _SPOKEN.get(library, f"{record.name}: ")
        kind = _FIELD.sub("…", str(record.msg).partition("\n")[0][:200])
        if error is not None and (spoken or library != "asyncio"):
            kind, line = type(error).__name__, self._describe(error, words=spoken)
        elif spoken:
            line = record.getMessage()
        elif library == "asyncio":
            # Its first line is its own, but for a callback's arguments; below come representations.
            kind = _CALLBACK if kind.startswith(_CALLBACK) else kind
            line = kind if error is None else f"{kind}: {self._describe(error)}"
        else:
            kind = line = f"{record.levelname.lower()} at {record.filename}:{record.lineno}"
        self._note(f"{prefix}{kind}", f"{prefix}{line}")

    def _warned(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        at = f"{category.__name__} at {Path(filename).name}:{lineno}"
        words = f": {message}" if self._debug else ""
        self._note(at, f"a library warns: {at}{words}")

    def _unraisable(self, args: sys.UnraisableHookArgs) -> None:
        self._died("an error could not be raised", args.exc_type, args.exc_value)

    def _thread_ended(self, args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, SystemExit):
            self._died("a thread ended", args.exc_type, args.exc_value)

    def _died(self, what: str, kind: type[BaseException], error: BaseException | None) -> None:
        said = kind.__name__ if error is None else self._describe(error)
        self._note(f"{what}: {said}", f"{what}: {said}")

    def _describe(self, error: BaseException, *, words: bool | None = None) -> str:
        if self._debug if words is None else words:
            return f"{type(error).__name__}: {error}"
        at = place(error)
        return f"{type(error).__name__}{f' at {at}' if at else ''}"

    def _note(self, kind: str, line: str) -> None:
        held = self._limit.passes(kind)
        if held is not None:
            self._lines.put(counted(line, held))

    def _write(self) -> None:
        line: str | None = ""
        while line is not None:
            try:
                line = self._lines.get(timeout=self._seconds)
            except queue.Empty:
                line = ""
            held = self._limit.overdue(all_kinds=line is None)
            more = [f"{kind} ({count} more)" for kind, count in held.items()]
            for each in ([line] if line else []) + more:
                # Standard error may be closed, and there is no other place to say so.
                with suppress(Exception):
                    self._say(each)


def _writes(handler: logging.Handler) -> bool:
    """Tell whether a handler writes on the standard streams, or is another of ours."""
    standard = (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    stream = getattr(handler, "stream", None)
    return isinstance(handler, LibraryLogs) or (stream is not None and stream in standard)
