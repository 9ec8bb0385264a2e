"""Stands in for the process that reads streams: their names say what they do."""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


sys.stdin.readline()
for line in sys.stdin:
    ((word, what),) = json.loads(line).items()
    name = what["stream"] if word == "read" else what
    if word == "read":
        say(stream=name, opened=True, warnings=[f"pid {os.getpid()}"])
        if name.startswith("killer"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("failing"):
            say(stream=name, ended=20, error="cannot be opened")
    elif not name.startswith("stuck"):
        say(stream=name, ended=0, warnings=[word])
if len(sys.argv) > 1:
    time.sleep(float(sys.argv[1]))
