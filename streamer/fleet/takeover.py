"""Whether taking over partitions gets on: Faust's recovery is known to hang now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from streamer.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Callable

    import faust

_ENDLESS: Final = 10
"""Rebalances without end count as progress for so many times the patience."""


class Takeover:
    """Watches an application from when its partitions are in doubt until it works on them.

    Args:
        app: Of one half of a worker.
        seconds: Without any progress and without partitions.
        longest: Without any progress of a rebalance while there is work to go on with; brokers
            may be away.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        app: faust.App,
        seconds: float,
        longest: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._clock = app, clock
        self._seconds, self._longest = seconds, max(seconds, longest)
        self._mark: object = None
        self._moved = self._settled = clock()

    def check(self, *, owning: bool) -> None:
        """Looks; to be called about once a second.

        Args:
            owning: The half has been told which partitions are its own, and no other news since.

        Raises:
            FleetError: It hangs; the worker has to be started again.
        """
        now = self._clock()
        if owning and not self._app.rebalancing:
            self._settled = self._moved = now
            return
        mark = self._app.consumer_generation_id, self._app.rebalancing_count, self._recovered()
        if mark != self._mark:
            self._mark, self._moved = mark, now
        limit = self._longest if owning else self._seconds
        if now - self._moved > limit or now - self._settled > _ENDLESS * limit:
            raise FleetError(
                f"no partitions could be taken over in {now - self._settled:.0f} s; "
                "this worker has to be started again"
            )

    def _recovered(self) -> int:
        """How far tables have been read; Faust shows it in no interface of its own."""
        recovery: Any = getattr(self._app.tables, "recovery", None)
        return 0 if recovery is None else sum(at or 0 for at in recovery.active_offsets.values())
