"""Run the command line: ``python -m streamer``, and the ``streamer`` command."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from streamer.cli._signals import Interrupted

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the command line; SIGINT and SIGTERM end it quietly from its first import on."""
    # An ignored signal, as in the background of a script, stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    # By default SIGTERM would leave the processes and semaphores of a command behind.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        from streamer.cli.app import main as command

        command()
    except Interrupted:
        sys.exit(128 + signal.SIGINT)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    main()
