"""Run the process that reads streams: a crash of a decoder or a network ends no worker.

The worker sends JSON lines on standard input; the process answers with JSON lines on standard
output. It leaves all streams when standard input ends, so that it never outlives its worker. All
streams of the process share the networks; each has threads of its own.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamer.errors import StreamerError
from streamer.fleet.watchdog import Watchdog
from streamer.logs import LibraryLogs

if TYPE_CHECKING:
    from streamer.config.settings import Settings
    from streamer.fleet.supervisor import WorkerMessage

READ: Final = "read"
END: Final = "end"
LEAVE: Final = "leave"
GRACE_SECONDS: Final = 15.0
"""For a stream to leave; who does not in this time must not go on beside its successor."""

_LINE: Final = 1 << 20


class MessageWriter:
    """Writes what happens to streams, a JSON line each; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, message: WorkerMessage) -> None:
        """Says it."""
        line = message.model_dump_json(exclude_defaults=True) + "\n"
        with self._lock:
            sys.stdout.write(line)
            sys.stdout.flush()


def main() -> int:
    """Reads streams until standard input ends."""
    from streamer.fleet.ingest import StreamReaders

    # The last line on standard error is the reason that a worker gives for this process's end.
    LibraryLogs(lambda line: None).keep()
    order = json.loads(sys.stdin.readline(_LINE))
    try:
        readings = StreamReaders(_prepare(order), MessageWriter().say)
    except StreamerError as error:
        _complain(str(error))
        return error.exit_code
    while line := sys.stdin.readline(_LINE):
        for word, what in json.loads(line).items():
            if word == READ:
                readings.read(what)
            else:
                readings.stop(what, final=word == END)
    Watchdog(70, _complain).allow(GRACE_SECONDS, f"streams were not left in {GRACE_SECONDS:g} s")
    readings.close()
    return 0


def _prepare(order: dict[str, Any]) -> Settings:
    from streamer.config.load import load_settings
    from streamer.heap import keep_level

    keep_level()
    config = order["config"]
    return load_settings(None if config is None else Path(config), order["overrides"])


def _complain(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
