"""One stream from its source to its sinks, over as many connections as it takes."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from streamer.decode.decoder import Decoder
from streamer.errors import SourceClosed, SourceDamaged, SourceError, SourceStalled
from streamer.live.backoff import Backoff
from streamer.live.connection import Connection, Deadlines
from streamer.live.faults import Faults
from streamer.live.gap_sorter import GapSorter
from streamer.live.keeping import ResumeState
from streamer.live.losses import Loss, Past, reason, rotation, sequel
from streamer.live.shedding import LoadShedder
from streamer.pipeline.observer import Progress
from streamer.pipeline.outlet import Outlet
from streamer.pipeline.run import Counts, EpochRun, Listeners, send_all
from streamer.pipeline.segmentation import StreamSegmentation
from streamer.pipeline.stages import StageTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamer.config.settings import Settings
    from streamer.connectors.sinks.sink import Sink
    from streamer.connectors.sources.source import Source
    from streamer.events.payload import BoundaryData, DiscontinuityData
    from streamer.live.keeping import Keeper
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.observer import Observer
    from streamer.pipeline.resume_point import ResumePoint
    from streamer.pipeline.segmenting import Segmenting
    from streamer.timeline import Instant, Picture, Sound

REPORT_SECONDS: Final = 0.1
PROVEN_SECONDS: Final = 5.0
"""A connection that delivered for so long starts the back-off anew."""

MAX_ABANDONED: Final = 4
"""Decoders that never came back, before no new one is started."""

_POLL: Final = 0.1


class StreamRun:
    """Reads, splits, embeds, decides and reports one stream, once.

    An endless source that goes away is connected again, each time in a new epoch. A finite one
    that breaks off on the way is read again from where it was, in the same epoch.

    Args:
        stream: Its name in events.
        connect: Makes a new source, not opened yet.
        settings: All stages'.
        engine: Loaded networks.
        sinks: Opened; events go to each in order.
        observer: Who watches.
        keeping: Saves the state with each shot, and goes on from the state that is there.
        patient: Waits for a source that may recover also where it could never be reached so far.
        seed: Makes the waits between connections repeatable.
        segmentation: Takes the shots instead of a new one; what ``keeping`` restores, if anything.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        stream: str,
        connect: Callable[[], Source],
        settings: Settings,
        engine: Engine,
        sinks: Sequence[Sink],
        observer: Observer,
        *,
        keeping: Keeper | None = None,
        patient: bool = False,
        seed: int | None = None,
        segmentation: Segmenting | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stream, self._connect, self._settings = stream, connect, settings
        self._engine, self._observer, self._keeping = engine, observer, keeping
        self._patient, self._clock = patient, clock
        self._times = StageTimes()
        self._outlet = Outlet(sinks, settings.output.emit, self._times)
        self._segmentation: Segmenting = segmentation or StreamSegmentation(
            stream, engine.model, settings.segment
        )
        self._counts = Counts()
        self._backoff = Backoff(settings.reconnect, seed)
        self._place = ResumeState(settings.stream.epoch)
        self._number = 0
        # Times in the input do not depend on what came before in it.
        self._exact = True
        self._loss: Loss | None = None
        self._progress = Progress()
        self._base = Fraction(0)
        self._shedder = LoadShedder(
            settings.thinning, [extractor.aspect for extractor in engine.extractors]
        )
        self._reported = 0.0
        self._source: Source | None = None
        self._connection: Connection | None = None
        self._decoder: Decoder | None = None
        self._faults = Faults()
        self._abandoned: list[Connection] = []
        # Plain values: `stop` is called from signal handlers.
        self._stopped = self._final = self._endless = False
        # A feed has been open; and what is closed now was cut off, and may be whole some day.
        self._feed = self._cut = False

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self._progress

    @property
    def endless(self) -> bool:
        """Whether the latest source that could be opened is a feed without an end."""
        return self._endless

    @property
    def abandoned(self) -> int:
        """Decoders that did not come back when they were told to stop."""
        self._abandoned = [one for one in self._abandoned if one.abandoned]
        return len(self._abandoned)

    def stop(self, *, final: bool = True) -> None:
        """Ends the run soon; safe from any thread and in a signal handler.

        Args:
            final: The stream ends here: the running shot is closed and everything decided. Else
                it stays as it was with the last shot, for another run to go on.
        """
        self._final = final
        self._stopped = True
        if self._connection is not None:
            self._connection.stop()

    def run(self) -> None:
        """Runs to the end of the input, or until stopped.

        Raises:
            SourceError: The input is unusable, or gone for longer than the settings allow; every
                event up to there has been delivered.
            SinkError: Events could not be delivered.
            StateError: The saved state cannot be read or written.
        """
        if self._keeping is not None:
            restored = self._keeping.restore(self._place.number, self._counts)
            self._place, self._base = restored, Fraction(restored.base)
        # What an earlier run did is told before this one adds to it.
        self._report(self._base)
        if self._place.ended and not self._replaced():
            return
        failure: SourceError | None = None
        going = True
        while going and not self._stopped:
            try:
                going = self._read()
            except SourceError as error:
                failure, going = error, False
        damaged = isinstance(failure, SourceDamaged)
        gone = failure is not None and not damaged
        # What is only away for now stays as it is when it is kept: it may go on some day.
        if (self._final or not self._stopped) and not (gone and self._keeping is not None):
            send_all(self._segmentation.finish(), self._outlet, self._counts)
            if not damaged:
                reached = float(self._progress.position)
                self._place = replace(self._place, mark=None, base=reached, ended=True)
                self._save()
        self._outlet.flush()
        self._report(self._progress.position)
        if failure is not None:
            raise failure

    def _read(self) -> bool:
        """Reads one connection; True when there is to be another."""
        source: Source | None = None
        run: EpochRun | None = None
        error: SourceError | None = None
        began = time.monotonic()
        try:
            if self.abandoned >= MAX_ABANDONED:
                raise SourceStalled(f"{self._stream}: {MAX_ABANDONED} readers hang")
            source = self._source = self._connect()
            self._loss = self._loss or rotation(self._place, source)
            with self._open(source) as connection:
                run = self._begin(connection, source)
                sorter = GapSorter(
                    connection.info.has_picture, self._settings.decode.max_interleave
                )
                for decoded in connection:
                    for item, behind_gap in sorter.sort(decoded):
                        if behind_gap and run.begun:
                            self._lose(run, item)
                            run = self._epoch(connection, source)
                        run.take(item)
                    self._note(run, connection, source, decoded)
        except SourceError as caught:
            error = caught
        finally:
            if self._connection is not None and self._connection.abandoned:
                self._abandoned.append(self._connection)
            self._connection = None
        if run is not None and run.begun and time.monotonic() - began >= PROVEN_SECONDS:
            self._backoff.reset()
        try:
            return self._after(source, run, error)
        finally:
            # An error holds this frame: everything in it would wait for the garbage collector.
            source = self._source = run = error = None

    def _replaced(self) -> bool:
        """Whether another input lies where one was read to its end."""
        if self._place.beginning is not None:
            with suppress(SourceError):
                self._loss = rotation(self._place, self._connect())
        return self._loss is not None

    def _open(self, source: Source) -> Connection:
        paced = self._settings.source.realtime
        self._decoder = Decoder(
            source, self._settings.decode, realtime=paced, begin=self._where(source)
        )
        self._faults.watch(self._decoder)
        limits = self._settings.source
        # A recorder or a pipe on this machine may pause for as long as it likes.
        self._connection = Connection(
            self._decoder,
            source.name,
            self._settings.decode.queue_pictures,
            Deadlines(limits.open_seconds, limits.stall_seconds),
            lambda: source.endless,
        )
        if self._stopped:
            self._connection.stop()
        return self._connection

    def _where(self, source: Source) -> Fraction | None:
        """Up to where the input need not be decoded; nothing but its beginning is sure to do."""
        place = self._place
        if self._loss is not None or place.mark is None or not (source.replays and self._exact):
            return None
        return place.mark.at.seconds if place.lost_at is None or place.same else None

    def _begin(self, connection: Connection, source: Source) -> EpochRun:
        assert self._decoder is not None
        self._endless = source.endless
        self._feed = self._feed or source.endless
        self._observer.opened(connection.info, self._decoder.warnings)
        self._shedder.restart()
        return self._epoch(connection, source)

    def _lose(self, run: EpochRun, item: Picture | Sound) -> None:
        """Ends an epoch behind which input is missing although the connection holds."""
        missing = run.missing_before(item)
        self._close(run, lost=True)
        self._base += run.elapsed
        detail = f"{missing:.1f} s are missing in what the sender sent"
        self._loss = Loss("jump", detail, self._clock(), missing=missing)

    def _epoch(self, connection: Connection, source: Source) -> EpochRun:
        info, place, loss = connection.info, self._place, self._loss
        if loss is None and place.lost_at is not None and not (place.same and source.replays):
            loss = self._loss = Loss("restart", "the program was started again", place.lost_at)
        if loss is None and place.damage:
            loss = self._loss = Loss("damaged", place.damage, None)
        number = self._first(source) if place.number is None else place.number
        self._number = number if loss is None else number + 1
        self._progress = replace(
            self._progress, duration=info.duration, epoch=self._number, lag=0.0
        )
        return EpochRun(
            info,
            self._settings,
            self._engine,
            self._segmentation,
            self._outlet,
            self._counts,
            self._times,
            Listeners(self._began, self._decided, self._closed),
            number=self._number,
            gap=None if loss is None else loss.gap(),
            prompt=source.live or self._settings.source.realtime,
            resume=place.mark if loss is None else None,
            thinner=self._shedder.thinner,
        )

    def _first(self, source: Source) -> int:
        """What a feed brings never comes again: each run's events need ids of their own."""
        return int(self._clock()) if source.endless else 0

    def _after(
        self, source: Source | None, run: EpochRun | None, error: SourceError | None
    ) -> bool:
        """Says whether to connect again, and waits until then."""
        if self._stopped:
            if run is not None and self._final:
                self._close(run, lost=False)
            return False
        known = self._segmentation.epoch is not None
        past = Past(run is not None, known, self._feed, self._patient)
        then = sequel(source, error, past)
        if then in {"end", "raise"}:
            self._cut = error is not None
            if run is not None:
                self._close(run, lost=False)
            if error is not None:
                raise error
            return False
        why, detail = reason(error), str(error or "the sender ended the connection")
        if then == "anew" and run is not None:
            self._close(run, lost=True)
            if run.begun:
                self._base += run.elapsed
                self._loss = Loss(why, detail, self._clock())
        wait = self._backoff.next()
        if wait is None:
            raise error or SourceClosed(f"{self._stream}: {detail}")
        if self._loss is not None:
            self._loss.attempts += 1
        self._observer.lost(why, detail, wait)
        self._sleep(wait)
        return True

    def _close(self, run: EpochRun, *, lost: bool) -> None:
        run.finish(lost=lost)
        self._report(max(self._progress.position, self._base + run.elapsed))

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopped and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(_POLL, left))

    def _began(self, discontinuity: DiscontinuityData | None) -> None:
        self._loss = None
        self._place = ResumeState(self._number, base=float(self._base))
        if discontinuity is not None:
            self._observer.returned(discontinuity)
        self._save()

    def _closed(self, mark: ResumePoint | None) -> None:
        if self._decoder is not None:
            stats = self._decoder.stats
            self._exact = not stats.restarts and not stats.derived_times
        self._place = replace(self._place, mark=mark)
        self._save()

    def _decided(self, boundary: BoundaryData, waited_for: Instant | None) -> None:
        late = None if waited_for is None else self._late(waited_for)
        self._observer.decided(boundary, late)

    def _late(self, at: Instant) -> float | None:
        due = None if self._decoder is None else self._decoder.due(at)
        return None if due is None else max(0.0, time.monotonic() - due)

    def _note(
        self, run: EpochRun, connection: Connection, source: Source, item: Picture | Sound
    ) -> None:
        now = time.monotonic()
        self._times.add("source", connection.waited)
        lag = self._shedder.note(now, float(item.start.seconds), connection.waited)
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        if self._settings.source.realtime:
            lag = self._late(item.start) or 0.0
        elif source.replays:
            # Files are read as fast as they can be; nobody waits for them.
            lag = 0.0
        self._shedder.relieve(0.0 if source.replays else lag, now)
        self._times.decoding(connection.decoding)
        self._progress = replace(self._progress, lag=lag)
        self._report(max(self._progress.position, self._base + run.elapsed))
        slow = self._shedder.slow(lag, now, self._times)
        if slow is not None:
            self._observer.slow(slow, lag)

    def _report(self, position: Fraction) -> None:
        self._progress = replace(
            self._progress,
            position=position,
            shots=self._counts.shots,
            scenes=self._counts.scenes,
            boundaries=self._counts.boundaries,
            spent=dict(self._times.spent),
            thinning=self._shedder.thinner.level,
            skipped=dict(self._shedder.skipped),
            faults=self._faults.total(),
            lost_sound=self._counts.lost_sound,
            drift=self._drift(),
        )
        self._observer.progressed(self._progress)

    def _drift(self) -> float:
        drift = None if self._decoder is None else self._decoder.drift
        return 0.0 if drift is None else -drift

    def _save(self) -> None:
        if self._keeping is None or self._cut:
            return
        if self._source is not None:
            self._place = replace(self._place, beginning=self._source.beginning())
        self._keeping.save(self._counts, self._place, exact=self._exact)
