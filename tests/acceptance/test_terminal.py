"""Events and the live line on one terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.command import Tail

# What a terminal does with the text before: rubs out the line, or goes up.
RUBBED_OUT = re.compile(r".*\x1b\[(?:2K|1A)", re.DOTALL)


def test_every_event_stands_on_a_line_of_its_own(tail: Tail, film: Path) -> None:
    words = ["tail", str(film), "--realtime", "--threshold", "0", "--checkpoint", tail.checkpoint]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "streamer", *words]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "4000"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:
            pass  # the terminal's other end was closed
        finally:
            os.close(ours)
    assert child.returncode == 0
    lines = [RUBBED_OUT.sub("", line) for line in seen.decode().splitlines()]
    assert any("lag" in line for line in seen.decode().splitlines())
    events = [line.lstrip("\r") for line in lines if '"specversion"' in line]
    assert len(events) >= 5
    for event in events:
        assert json.loads(event)["specversion"] == "1.0"
