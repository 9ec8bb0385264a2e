"""Keep each stream's status, and judge from them whether the process is ready."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from streamer.events.payload import Gap
from streamer.lines import one_line
from streamer.metrics.meter import Speed
from streamer.pipeline.progress import Behind, Disconnected, Opened, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamer.events.payload import EventData
    from streamer.http.health import Checks
    from streamer.pipeline.progress import Notice
    from streamer.serve.service import Service

State = Literal["starting", "running", "reconnecting", "failed", "ended", "stopped"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """The latest thing that went wrong.

    Attributes:
        time: When, aware.
        kind: A reason for a gap, or the name of an error.
        message: One line for people, without credentials.
    """

    time: datetime
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """A stream at one moment.

    Attributes:
        state: ``starting`` until its input was open once; ``failed`` and ``ended`` for good.
        since: When that state began.
        progress: How far it is.
        realtime: Seconds of input a wall second over the last half minute; None before.
        reconnections: Times its input went away.
        trouble: What went wrong last.
        moved: When more of the input was last taken, else when this began; monotonic seconds.
    """

    state: State = "starting"
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    progress: Progress = field(default_factory=Progress)
    realtime: float | None = None
    reconnections: int = 0
    trouble: Trouble | None = None
    moved: float = field(default_factory=time.monotonic)

    def fields(self) -> dict[str, object]:
        """Plain values in base units."""
        progress, trouble = self.progress, self.trouble
        return {
            "state": self.state,
            "since": self.since.isoformat(),
            "position_seconds": round(float(progress.position), 3),
            "lag_seconds": round(progress.lag, 3),
            "drift_seconds": round(progress.drift, 3),
            "realtime_factor": None if self.realtime is None else round(self.realtime, 3),
            "epoch": progress.epoch,
            "shots": progress.shots,
            "scenes": progress.scenes,
            "boundaries": progress.boundaries,
            "thinning_level": progress.thinning,
            "reconnections": self.reconnections,
            "stage_seconds": {stage: round(spent, 3) for stage, spent in progress.spent.items()},
            "last_error": None
            if trouble is None
            else {
                "time": trouble.time.isoformat(),
                "kind": trouble.kind,
                "message": trouble.message,
            },
        }


class StatusKeeper:
    """Keep a stream's status, as one of its watchers; may be read from any thread.

    Args:
        warn: Takes one line for people.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._lock = threading.Lock()
        self._status = Status()
        self._speed = Speed(time.monotonic)

    @property
    def status(self) -> Status:
        """As it is now."""
        return self._status

    def enter(self, state: State) -> None:
        """Begin a state."""
        with self._lock:
            if state != self._status.state:
                self._status = replace(self._status, state=state, since=datetime.now(UTC))

    def trouble(self, kind: str, message: str) -> None:
        """Keep what went wrong, and warn of it."""
        line = one_line(message)
        with self._lock:
            found = Trouble(datetime.now(UTC), kind, line)
            self._status = replace(self._status, trouble=found)
        self._warn(line)

    def __call__(self, event: EventData | Notice) -> None:
        """Take an event or notice of the stream."""
        match event:
            case Progress():
                self._progress(event)
            case Opened(warnings=warnings):
                self.enter("running")
                self._speed.restart()
                for warning in warnings:
                    self._warn(one_line(warning))
            case Disconnected(reason, detail, wait):
                self.enter("reconnecting")
                with self._lock:
                    count = self._status.reconnections + 1
                    self._status = replace(self._status, reconnections=count)
                self.trouble(reason, f"{detail}; trying again in {wait:.1f} s")
            case Gap(missing_seconds=missing):
                gap = "" if missing is None else f" after {missing:.1f} s"
                self._warn(f"the input is back{gap}: epoch {event.epoch}")
            case Behind(stage, lag):
                self._warn(f"{lag:.1f} s behind: {stage} is slow")

    def _progress(self, progress: Progress) -> None:
        realtime = self._speed.at(progress.position)
        with self._lock:
            status = self._status
            more = progress.position > status.progress.position
            moved = time.monotonic() if more else status.moved
            self._status = replace(status, progress=progress, realtime=realtime, moved=moved)


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
