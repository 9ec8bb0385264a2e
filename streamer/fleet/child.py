"""The process that reads one stream: a crash of a decoder or a network ends nothing else.

It is told what to do in one JSON line on standard input, says how it is in JSON lines on standard
output, and ends when standard input does: a worker that was killed leaves no reader behind.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from streamer.errors import StreamerError

if TYPE_CHECKING:
    from streamer.config.settings import Settings
    from streamer.events.payload import BoundaryData, DiscontinuityData, GapReason
    from streamer.fleet.request import StreamRequest
    from streamer.live.keeping import Keeping
    from streamer.live.stream import StreamRun
    from streamer.pipeline.observer import Progress
    from streamer.pipeline.segmentation import StreamSegmentation
    from streamer.pipeline.stages import Stage
    from streamer.timeline import StreamInfo

END: Final = "end"
LEAVE: Final = "leave"
GRACE_SECONDS: Final = 15.0
_SAY_SECONDS: Final = 1.0


class _Teller:
    """Says how the stream is; `streamer.pipeline.observer.Observer`."""

    def __init__(self) -> None:
        self._said = 0.0

    def opened(self, info: StreamInfo, warnings: tuple[str, ...]) -> None:
        self._say(state="reading", warnings=list(warnings))

    def progressed(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._said >= _SAY_SECONDS:
            self._said = now
            self._say(
                state="reading",
                shots=progress.shots,
                epoch=progress.epoch,
                lag=progress.lag,
                position=float(progress.position),
            )

    def decided(self, boundary: BoundaryData, delay: float | None) -> None:
        """Decisions are made elsewhere."""

    def lost(self, reason: GapReason, detail: str, wait: float) -> None:
        self._say(state="lost", warnings=[f"{reason}: {detail}; again in {wait:.1f} s"])

    def returned(self, discontinuity: DiscontinuityData) -> None:
        """The next record says so."""

    def slow(self, stage: Stage, lag: float) -> None:
        self._say(state="reading", warnings=[f"{lag:.1f} s behind; {stage} takes the longest"])

    def _say(self, **what: Any) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def main() -> int:
    """Reads one stream to its end, or until told to leave it."""
    order = json.loads(sys.stdin.readline(1 << 20))
    try:
        _read(order)
    except StreamerError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _read(order: dict[str, Any]) -> None:
    from streamer.config.load import load_settings
    from streamer.fleet.request import StreamRequest

    config = order["config"]
    settings = load_settings(None if config is None else Path(config), order["overrides"])
    request = StreamRequest.model_validate(order["request"])
    run = _make(settings, request)
    threading.Thread(target=_obey, args=(run,), name="orders", daemon=True).start()
    run.run()


def _obey(run: StreamRun) -> None:
    """Ends the run as the worker says; at once when there is no worker any more."""
    word = sys.stdin.readline(64).strip()
    run.stop(final=word == END)
    time.sleep(GRACE_SECONDS)
    os._exit(70)


def _make(settings: Settings, request: StreamRequest) -> StreamRun:
    from connectors.kafka.address import KafkaAddress
    from models.weights.store import WeightStore
    from streamer.fleet.forward import LogKeeping, Lookup, ShotForwarder, find_reached
    from streamer.fleet.log import ShotLog, partition_of
    from streamer.fleet.outbox import Outbox
    from streamer.fleet.topics import Topics
    from streamer.live.connector import Connector
    from streamer.live.stream import StreamRun
    from streamer.pipeline.engine import load_engine

    fleet = settings.fleet
    topics = Topics(fleet.prefix, fleet.group)
    address = KafkaAddress.parse(f"{fleet.broker.rstrip('/')}/{topics.shots}")
    engine = load_engine(settings, WeightStore(offline=settings.runtime.offline))
    key = request.stream.encode()
    since = min(request.added, time.time() - fleet.rebuild_seconds)
    place = Lookup(key, partition_of(key, fleet.partitions), since)
    shots = ShotLog(address, settings.kafka, topics.ingest_group)
    windows = ShotLog(replace(address, topic=topics.windows), settings.kafka, topics.ingest_group)
    try:
        reached = find_reached(windows, shots, place)
    finally:
        shots.close()
        windows.close()
    out = Outbox(address, settings.kafka, topics)
    return StreamRun(
        request.stream,
        Connector(request.location, settings.source),
        settings,
        engine,
        (),
        _Teller(),
        # They stand where these stand, and share all of them that a run uses.
        keeping=cast("Keeping", LogKeeping(request, reached)),
        patient=True,
        segmentation=cast(
            "StreamSegmentation",
            ShotForwarder(request, out, reached, fleet.delivery_seconds),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
