"""What was wrong with a stream's input, over all its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.decode.decoder import Decoder
    from streamer.pipeline.progress import Fault


class Faults:
    """Adds up what each connection's decoder counts."""

    def __init__(self) -> None:
        self._before: dict[Fault, int] = {}
        self._decoder: Decoder | None = None

    def watch(self, decoder: Decoder) -> None:
        """Counts on with the next connection's."""
        self._before, self._decoder = self.total(), decoder

    def total(self) -> dict[Fault, int]:
        """Times each fault was seen so far."""
        if self._decoder is None:
            return dict(self._before)
        stats = self._decoder.stats
        seen: dict[Fault, int] = {
            "packet": stats.failed_packets,
            "picture": stats.corrupt_frames,
            "time": stats.dropped_frames,
        }
        return {fault: self._before.get(fault, 0) + times for fault, times in seen.items()}
