"""One stream from its source to its sinks."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from streamer.decode.decoder import Decoder
from streamer.errors import SourceDamaged
from streamer.events.cloudevent import cloud_event
from streamer.events.payload import BoundaryData, SceneData, ShotData
from streamer.pipeline.clock import ClockTrail
from streamer.pipeline.embedder import ShotEmbedder
from streamer.pipeline.epoch import Epoch
from streamer.pipeline.feed import Feed, queue_size
from streamer.pipeline.observer import Progress
from streamer.pipeline.segmentation import StreamSegmentation
from streamer.timeline import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.sinks.sink import Sink
    from connectors.sources.source import Source
    from streamer.config.sections import Emit
    from streamer.config.settings import Settings
    from streamer.events.ids import EventKind
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.observer import Observer
    from streamer.timeline import EmbeddedShot, Instant, Sound, StreamInfo

FILE_BATCH = 8
"""Pieces of one aspect embedded together where latency does not matter."""

REPORT_SECONDS = 0.1

# Kinds of events that are sent when asked for; the others always are.
EMITTED: Final[dict[EventKind, Emit]] = {
    "boundary": "boundaries",
    "shot": "shots",
    "scene": "scenes",
}


class StreamRun:
    """Reads, splits, embeds, decides and reports one stream, once.

    Args:
        stream: Its name in events.
        source: Where it comes from.
        settings: All stages'.
        engine: Loaded networks.
        sinks: Opened; events go to each in order.
        observer: Who watches.
    """

    def __init__(
        self,
        stream: str,
        source: Source,
        settings: Settings,
        engine: Engine,
        sinks: Sequence[Sink],
        observer: Observer,
    ) -> None:
        self._stream, self._settings = stream, settings
        self._engine, self._sinks, self._observer = engine, sinks, observer
        self._emit: frozenset[Emit] = frozenset(settings.output.emit)
        self._paced = settings.source.realtime
        self._prompt = self._paced or source.live
        self._decoder = Decoder(source, settings.decode, realtime=self._paced)
        self._segmentation = StreamSegmentation(stream, engine.model, settings.segment)
        self._trail = ClockTrail()
        self._feed: Feed | None = None
        self._reported = 0.0
        self._progress = Progress()

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self._progress

    def stop(self) -> None:
        """Ends the input here: the running shot is closed and everything is flushed."""
        self._decoder.stop()
        if self._feed is not None:
            self._feed.stop()

    def run(self) -> None:
        """Runs to the end of the input.

        Raises:
            SourceError: The input is unusable; after a `SourceDamaged`, every event up to the
                damage has been delivered.
            SinkError: Events could not be delivered.
        """
        with self._decoder as decoder:
            info = decoder.info
            self._observer.opened(info, decoder.warnings)
            self._progress = replace(self._progress, duration=info.duration)
            embedder = ShotEmbedder(
                info,
                self._settings.shots,
                self._settings.aspects,
                self._settings.decode,
                self._engine.extractors,
                batch=1 if self._prompt else FILE_BATCH,
                workers=closing_workers(),
            )
            damage: SourceDamaged | None = None
            size = queue_size(info, self._settings.decode.queue_pictures)
            with Feed(decoder, size) as self._feed:
                try:
                    for item in self._feed:
                        self._take(item, embedder, info)
                except SourceDamaged as error:
                    damage = error
                finally:
                    # A decoder that waits for input would not see that nobody takes its output.
                    self._decoder.stop()
            self._shots(embedder.finish(), embedder, info)
            self._deliver(self._segmentation.finish(), None)
        for sink in self._sinks:
            sink.flush()
        self._observer.progressed(self._progress)
        if damage is not None:
            raise damage

    def _take(self, item: Picture | Sound, embedder: ShotEmbedder, info: StreamInfo) -> None:
        if isinstance(item, Picture):
            self._trail.note(item)
        self._shots(embedder.push(item), embedder, info)
        if embedder.start is None:
            return
        position = max(self._progress.position, item.start.seconds - embedder.start.seconds)
        self._progress = replace(self._progress, position=position, lag=self._lag(item))
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._observer.progressed(self._progress)

    def _lag(self, item: Picture | Sound) -> float:
        if self._paced:
            return self._late(item.start) or 0.0
        if self._prompt and isinstance(item, Picture) and item.arrival is not None:
            return max(0.0, time.time() - item.arrival)
        return 0.0

    def _late(self, at: Instant) -> float | None:
        due = self._decoder.due(at)
        return None if due is None else max(0.0, time.monotonic() - due)

    def _shots(
        self, shots: Sequence[EmbeddedShot], embedder: ShotEmbedder, info: StreamInfo
    ) -> None:
        for embedded in shots:
            if self._segmentation.epoch is None:
                assert embedder.start is not None
                self._begin(embedder.start, info)
            clock = self._trail.take(embedded.shot.start)
            self._deliver(self._segmentation.push(embedded, *clock), embedded.shot.end)

    def _begin(self, start: Instant, info: StreamInfo) -> None:
        epoch = Epoch(self._settings.stream.epoch, start, info.frame_rate, self._engine.networks)
        self._deliver(self._segmentation.begin(epoch), None)

    def _deliver(self, events: Sequence[EventData], waited_for: Instant | None) -> None:
        """Sends events, in order, and counts them."""
        for event in events:
            if isinstance(event, ShotData):
                self._progress = replace(self._progress, shots=self._progress.shots + 1)
            elif isinstance(event, SceneData):
                self._progress = replace(self._progress, scenes=self._progress.scenes + 1)
            elif isinstance(event, BoundaryData):
                self._progress = replace(self._progress, boundaries=self._progress.boundaries + 1)
            self._send(event)
            if isinstance(event, BoundaryData):
                delay = None if waited_for is None else self._late(waited_for)
                self._observer.decided(event, delay)

    def _send(self, data: EventData) -> None:
        if data.kind not in EMITTED or EMITTED[data.kind] in self._emit:
            event = cloud_event(data)
            for sink in self._sinks:
                sink.add(event)


def closing_workers() -> int:
    """Threads for what is left to do at a cut: an event waits for it."""
    return min(4, os.cpu_count() or 1)
