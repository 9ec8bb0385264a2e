"""The command, with a decoder that dies of some files: their names say how."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator

from streamer.cli.app import run
from streamer.decode.decoder import Decoder
from streamer.timeline import Picture, Sound

decode = Decoder.__iter__


def dying(self: Decoder) -> Iterator[Picture | Sound]:
    """Decodes a frame, or five seconds, and dies if the file says so."""
    for item in decode(self):
        late = "late" in self._source.name and item.start.seconds > 5
        if late or "segv" in self._source.name:
            # A read through a null pointer, on this very thread.
            ctypes.string_at(0)
        if "kill" in self._source.name:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item


if __name__ == "__main__":
    Decoder.__iter__ = dying  # type: ignore[method-assign]
    sys.exit(run(sys.argv[1:]))
