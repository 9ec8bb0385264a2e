"""Where the time of a stream goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Stage = Literal["source", "decode", "shots", "aspects", "segment", "sinks"]
STAGES: Final[tuple[Stage, ...]] = ("source", "decode", "shots", "aspects", "segment", "sinks")


class StageTimes:
    """Seconds spent in each stage of one stream since it began.

    ``source`` is waiting for decoded input and ``decode`` the processor time of the decoding
    thread, which runs beside the others; the rest is wall time of the thread that does the work.
    """

    def __init__(self) -> None:
        self._spent = dict.fromkeys(STAGES, 0.0)
        self._decoded = 0.0

    @property
    def spent(self) -> Mapping[Stage, float]:
        """Seconds by stage."""
        return self._spent

    def add(self, stage: Stage, seconds: float) -> None:
        """Counts time spent."""
        self._spent[stage] += seconds

    def decoding(self, total: float) -> None:
        """Takes the processor time of the decoding thread so far; a new one begins at 0."""
        self._spent["decode"] += total - self._decoded if total >= self._decoded else total
        self._decoded = total

    def lap(self, stage: Stage, since: float) -> float:
        """Counts the time since a reading of `time.perf_counter`.

        Returns:
            The reading now, where the next stage begins.
        """
        now = time.perf_counter()
        self._spent[stage] += now - since
        return now

    def slowest(self, before: Mapping[Stage, float]) -> Stage:
        """The stage that held a stream up since an earlier state of ``spent``.

        Where most of the time went into waiting for input although the stream is behind, that is
        decoding: it runs on its own thread.
        """
        since = {stage: self._spent[stage] - before[stage] for stage in STAGES}
        work = {stage: since[stage] for stage in STAGES if stage not in {"source", "decode"}}
        busiest = max(work, key=lambda stage: work[stage])
        return "decode" if since["source"] > sum(work.values()) else busiest
