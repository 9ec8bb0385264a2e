"""Whether a process with many streams is ready: what an orchestrator acts on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.http.health import Checks
    from streamer.serve.service import Service
    from streamer.serve.status import Status

OVER: Final = frozenset({"ended", "stopped"})


def watch(checks: Checks, service: Service, fresh: float) -> None:
    """Adds the check ``streams``, which also shows the trouble of single streams.

    Args:
        checks: What ``/readyz`` asks.
        service: The streams.
        fresh: Seconds without progress after which a stream is in trouble.
    """

    def states() -> dict[str, Status]:
        return {name: host.status for name, host in service.hosts.items()}

    checks.add(
        "streams",
        lambda: verdict(states(), fresh, time.monotonic()),
        lambda: troubles(states(), fresh, time.monotonic()),
    )


def troubles(streams: Mapping[str, Status], fresh: float, now: float) -> dict[str, str]:
    """Says what is amiss with single streams.

    Args:
        streams: Name → status.
        fresh: Seconds without progress that are none.
        now: A reading of :func:`time.monotonic`.

    Returns:
        Name → a few words, for streams that failed or should go on and do not.
    """
    found = {name: _trouble(status, fresh, now) for name, status in sorted(streams.items())}
    return {name: words for name, words in found.items() if words is not None}


def verdict(streams: Mapping[str, Status], fresh: float, now: float) -> str | None:
    """Says why the process is not ready: none of the streams that should go on does.

    One dead camera of many is no reason to take the others out of service; a process in which
    nothing moves is. Without streams, or when all have ended, it waits for new ones.

    Args:
        streams: As in `troubles`.
        fresh: As in `troubles`.
        now: As in `troubles`.
    """
    amiss = troubles(streams, fresh, now)
    going = [name for name, status in streams.items() if status.state not in OVER]
    if not amiss or len(amiss) < len(going):
        return None
    return f"none of {len(going)} streams makes progress" if len(going) > 1 else "no progress"


def _trouble(status: Status, fresh: float, now: float) -> str | None:
    silent = now - status.moved
    if status.state in OVER or (status.state != "failed" and silent <= fresh):
        return None
    words = "failed" if status.state == "failed" else f"{status.state}, {silent:.0f} s no progress"
    return words if status.trouble is None else f"{words}: {status.trouble.message}"
