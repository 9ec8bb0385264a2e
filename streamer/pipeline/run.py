"""One stream from its source to its sinks."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from streamer.decode.decoder import Decoder
from streamer.errors import SourceDamaged
from streamer.events.cloudevent import cloud_event
from streamer.events.payload import ModelRef
from streamer.pipeline.clock import ClockTrail
from streamer.pipeline.embedder import ShotEmbedder
from streamer.pipeline.feed import Feed, queue_size
from streamer.pipeline.observer import Progress
from streamer.pipeline.scenes import SceneTracker, StreamIdentity
from streamer.segment.causal import CausalSegmenter
from streamer.timeline import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.sinks.sink import Sink
    from connectors.sources.source import Source
    from streamer.config.sections import Emit
    from streamer.config.settings import Settings
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.observer import Observer
    from streamer.segment.decision import Decision
    from streamer.timeline import EmbeddedShot, Instant, Sound, StreamInfo

FILE_BATCH = 8
"""Pieces of one aspect embedded together where latency does not matter."""

REPORT_SECONDS = 0.1


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
        self._segmenter = CausalSegmenter(engine.model, settings.segment.lookahead)
        self._trail = ClockTrail()
        self._tracker: SceneTracker | None = None
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
            self._finish()
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
            began = time.perf_counter() - embedded.compute_seconds
            if self._tracker is None:
                assert embedder.start is not None
                self._tracker = self._track(embedder.start, info)
            data = self._tracker.shot(embedded, *self._trail.take(embedded.shot.start))
            self._progress = replace(self._progress, shots=self._progress.shots + 1)
            self._send("shots", data)
            for decision in self._segmenter.push(embedded.tokens):
                self._decide(decision, began, embedded.shot.end)

    def _track(self, start: Instant, info: StreamInfo) -> SceneTracker:
        model = self._engine.model
        identity = StreamIdentity(
            stream=self._stream,
            epoch=self._settings.stream.epoch,
            start=start,
            frame_rate=info.frame_rate,
            networks=self._engine.networks,
            model=ModelRef(name=model.config.row, sha256=model.digest),
        )
        chosen = self._settings.segment.threshold
        return SceneTracker(identity, model.config.threshold if chosen is None else chosen)

    def _decide(self, decision: Decision, began: float, waited_for: Instant | None) -> None:
        assert self._tracker is not None
        found = self._tracker.decide(decision, time.perf_counter() - began)
        if found is None:
            return
        boundary, scene = found
        self._progress = replace(
            self._progress,
            scenes=self._progress.scenes + 1,
            boundaries=self._progress.boundaries + 1,
        )
        self._send("boundaries", boundary)
        self._send("scenes", scene)
        self._observer.decided(boundary, None if waited_for is None else self._late(waited_for))

    def _finish(self) -> None:
        began = time.perf_counter()
        for decision in self._segmenter.finish():
            self._decide(decision, began, None)
        if self._tracker is not None and (scene := self._tracker.finish()) is not None:
            self._progress = replace(self._progress, scenes=self._progress.scenes + 1)
            self._send("scenes", scene)

    def _send(self, kind: Emit, data: EventData) -> None:
        if kind in self._emit:
            event = cloud_event(data)
            for sink in self._sinks:
                sink.add(event)


def closing_workers() -> int:
    """Threads for what is left to do at a cut: an event waits for it."""
    return min(4, os.cpu_count() or 1)
