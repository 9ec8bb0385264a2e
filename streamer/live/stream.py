"""Run one stream over as many connections as it takes; its events come out of one iterator."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from streamer.decode.connection import Connection, Deadlines, GapBuffer
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import SourceClosed, SourceDamaged, SourceError, SourceStalled
from streamer.events.payload import Boundary, Scene
from streamer.live.degradation import LoadShedder
from streamer.live.reconnect import (
    Backoff,
    Disconnect,
    StreamHistory,
    detect_rotation,
    gap_reason,
    reconnect_action,
)
from streamer.pipeline.embedder import PARALLEL_NETWORKS, ShotEmbedder
from streamer.pipeline.epoch import Begun, EpochRun
from streamer.pipeline.progress import (
    Behind,
    Counts,
    Delivered,
    Disconnected,
    Opened,
    Progress,
    ResumeState,
    SavePoint,
    StageTimes,
)
from streamer.shots.base import ShotOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from streamer.config.settings import Settings
    from streamer.connectors.sources.source import Source
    from streamer.events.payload import EventData
    from streamer.extractor import Extractor
    from streamer.pipeline.epoch import Step
    from streamer.pipeline.progress import Fault, Notice
    from streamer.pipeline.segmentation import ShotConsumer
    from streamer.shots.transnet import Network
    from streamer.timeline import Picture, Sound, Timestamp

    Output = Generator[EventData | Notice, None, bool]

REPORT_SECONDS: Final = 0.1
PROVEN_SECONDS: Final = 5.0
"""A connection that delivered for so long resets the back-off."""

FILE_BATCH: Final = 8
"""Windows or key frames of one aspect embedded together where latency does not matter."""

MAX_ABANDONED: Final = 4
"""Decoders that never came back, before no new one is started."""

_POLL: Final = 0.1


class StreamRun:
    """Read, split, embed and segment one stream, once.

    An endless source that goes away is connected again, each time in a new epoch. A finite one
    that breaks off on the way is read again from where it was, in the same epoch.

    Args:
        stream: Its name in events.
        connect: Makes a new source, not opened yet.
        settings: Of all stages.
        segmentation: Takes the shots.
        extractors: One for each aspect; without any there are only shots.
        shot_network: Finds shots, where the settings want a network for that.
        resume: Where an earlier run left off; the beginning when None.
        counts: Totals of earlier runs.
        keeps_state: Save points are wanted: a source that is away when the run ends is not the end
            of the stream.
        retry_unreachable: Wait for a source that may recover also where it could never be reached.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        stream: str,
        connect: Callable[[], Source],
        settings: Settings,
        segmentation: ShotConsumer,
        *,
        extractors: Sequence[Extractor] = (),
        shot_network: Network | None = None,
        resume: ResumeState | None = None,
        counts: Counts | None = None,
        keeps_state: bool = False,
        retry_unreachable: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stream, self._connect, self._settings = stream, connect, settings
        self._extractors, self._shot_network = tuple(extractors), shot_network
        self._keeps_state = keeps_state
        self._retry_unreachable, self._clock = retry_unreachable, clock
        self._times = StageTimes()
        self._segmentation = segmentation
        self._counts = Counts() if counts is None else counts
        self._backoff = Backoff(settings.reconnect)
        self._place = ResumeState(settings.stream.epoch) if resume is None else resume
        self._base = Fraction(self._place.base)
        self._number = 0
        # Times in the input do not depend on what came before in it.
        self._exact = True
        self._disconnect: Disconnect | None = None
        self._progress = Progress()
        self._shedder = LoadShedder(
            settings.thinning, [extractor.aspect for extractor in extractors]
        )
        self._reported = 0.0
        self._source: Source | None = None
        self._connection: Connection | None = None
        self._decoder: Decoder | None = None
        self._faults = _Faults()
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
        """End the run soon; safe from any thread and in a signal handler.

        Args:
            final: The stream ends here: the running shot is closed and everything decided. Else
                it stays as it was with the last shot, for another run to resume.
        """
        self._final = final
        self._stopped = True
        if self._connection is not None:
            self._connection.stop()

    def events(self) -> Generator[EventData | Notice, None, None]:
        """Run to the end of the input, or until stopped; iterate once.

        An event is taken when the next one is asked for. Closing the iterator ends the threads,
        files and connections of the stream.

        Yields:
            Events in the order of the input, and notices between them.

        Raises:
            SourceError: The input is unusable, or gone for longer than the settings allow; every
                event up to there has come.
            StateError: The saved state cannot be read or written.
        """
        # What an earlier run did is reported before this one adds to it.
        yield self._report(self._base)
        if self._place.ended and not self._replaced():
            return
        failure: SourceError | None = None
        going = True
        while going and not self._stopped:
            try:
                going = yield from self._read()
            except SourceError as error:
                failure, going = error, False
        damaged = isinstance(failure, SourceDamaged)
        gone = failure is not None and not damaged
        # What is only away for now stays as it is when its state is kept: it may be back later.
        if (self._final or not self._stopped) and not (gone and self._keeps_state):
            yield from self._hand_over(self._segmentation.finish(), None)
            if not damaged:
                reached = float(self._progress.position)
                self._place = replace(self._place, mark=None, base=reached, ended=True)
                yield from self._save()
        yield self._report(self._progress.position)
        if failure is not None:
            raise failure

    def _read(self) -> Output:
        """Read one connection; True when there is to be another."""
        source: Source | None = None
        run: EpochRun | None = None
        error: SourceError | None = None
        began = time.monotonic()
        try:
            if self.abandoned >= MAX_ABANDONED:
                raise SourceStalled(f"{self._stream}: {MAX_ABANDONED} readers hang")
            source = self._source = self._connect()
            self._disconnect = self._disconnect or detect_rotation(self._place, source)
            with self._open(source) as connection:
                assert self._decoder is not None
                self._endless = source.endless
                self._feed = self._feed or source.endless
                warnings = self._decoder.warnings
                if self._is_live(source) and not source.endless:
                    warnings += ("read as live: aspects are left out while it is behind",)
                yield Opened(connection.info, warnings)
                self._shedder.restart()
                run = self._epoch(connection, source)
                buffer = GapBuffer(
                    connection.info.has_picture, self._settings.decode.max_interleave
                )
                for decoded in connection:
                    for item, behind_gap in buffer.sort(decoded):
                        if behind_gap and run.begun:
                            yield from self._lose(run, item)
                            run = self._epoch(connection, source)
                        yield from self._steps(run.take(item))
                    yield from self._note(run, connection, source, decoded)
        except SourceError as caught:
            error = caught
        finally:
            if self._connection is not None and self._connection.abandoned:
                self._abandoned.append(self._connection)
            self._connection = None
        if run is not None and run.begun and time.monotonic() - began >= PROVEN_SECONDS:
            self._backoff.reset()
        try:
            return (yield from self._after(source, run, error))
        finally:
            # An error holds this frame: everything in it would wait for the garbage collector.
            source = self._source = run = error = None

    def _replaced(self) -> bool:
        """Whether another input lies where one was read to its end."""
        if self._place.beginning is not None:
            with suppress(SourceError):
                self._disconnect = detect_rotation(self._place, self._connect())
        return self._disconnect is not None

    def _open(self, source: Source) -> Connection:
        paced = self._settings.source.realtime
        self._decoder = Decoder(
            source,
            self._settings.decode.to(DecodeOptions),
            realtime=paced,
            begin=self._where(source),
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
        """Up to where the input need not be decoded; None: everything is."""
        place = self._place
        if (
            self._disconnect is not None
            or place.mark is None
            or not (source.replays and self._exact)
        ):
            return None
        return place.mark.at.seconds if place.lost_at is None or place.same else None

    def _lose(self, run: EpochRun, item: Picture | Sound) -> Iterator[EventData | Notice]:
        """End an epoch after which input is missing although the connection holds."""
        missing = run.missing_before(item)
        yield from self._close(run, lost=True)
        self._base += run.elapsed
        detail = f"{missing:.1f} s are missing in what the sender sent"
        self._disconnect = Disconnect("jump", detail, self._clock(), missing=missing)

    def _epoch(self, connection: Connection, source: Source) -> EpochRun:
        info, place, loss = connection.info, self._place, self._disconnect
        if loss is None and place.lost_at is not None and not (place.same and source.replays):
            loss = self._disconnect = Disconnect(
                "restart", "the program was started again", place.lost_at
            )
        if loss is None and place.damage:
            loss = self._disconnect = Disconnect("damaged", place.damage, None)
        number = self._first(source) if place.number is None else place.number
        self._number = number if loss is None else number + 1
        self._progress = replace(
            self._progress, duration=info.duration, epoch=self._number, lag=0.0
        )
        settings = self._settings
        embedder = ShotEmbedder(
            info,
            self._extractors,
            settings.shots.to(ShotOptions),
            key_frame_interval=settings.aspects.key_frame_interval,
            key_frame_offset=settings.aspects.key_frame_offset,
            max_interleave=settings.decode.max_interleave,
            batch=1 if source.live or settings.source.realtime else FILE_BATCH,
            workers=PARALLEL_NETWORKS,
            resume=place.mark if loss is None else None,
            times=self._times,
            shot_network=self._shot_network,
            thinner=self._shedder.thinner,
        )
        return EpochRun(
            info,
            embedder,
            self._segmentation,
            {extractor.aspect: extractor.network for extractor in self._extractors},
            self._counts,
            self._times,
            number=self._number,
            missing=None if loss is None else loss.missing_input(),
        )

    def _first(self, source: Source) -> int:
        """Number the first epoch: a feed never comes again, so each run's events need own ids."""
        return int(self._clock()) if source.endless else 0

    def _after(
        self, source: Source | None, run: EpochRun | None, error: SourceError | None
    ) -> Output:
        """Decide whether to connect again, and wait until then."""
        if self._stopped:
            if run is not None and self._final:
                yield from self._close(run, lost=False)
            return False
        known = self._segmentation.epoch is not None
        past = StreamHistory(run is not None, known, self._feed, self._retry_unreachable)
        then = reconnect_action(source, error, past)
        if then in {"stop", "fail"}:
            self._cut = error is not None
            if run is not None:
                yield from self._close(run, lost=False)
            if error is not None:
                raise error
            return False
        why, detail = gap_reason(error), str(error or "the sender ended the connection")
        if then == "new_epoch" and run is not None:
            yield from self._close(run, lost=True)
            if run.begun:
                self._base += run.elapsed
                self._disconnect = Disconnect(why, detail, self._clock())
        wait = self._backoff.next()
        if wait is None:
            raise error or SourceClosed(f"{self._stream}: {detail}")
        if self._disconnect is not None:
            self._disconnect.attempts += 1
        yield Disconnected(why, detail, wait)
        self._sleep(wait)
        return True

    def _close(self, run: EpochRun, *, lost: bool) -> Iterator[EventData | Notice]:
        yield from self._steps(run.finish(lost=lost, stopped=self._stopped))
        yield self._report(max(self._progress.position, self._base + run.elapsed))

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopped and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(_POLL, left))

    def _steps(self, steps: Iterator[Step]) -> Iterator[EventData | Notice]:
        """Hand over what an epoch yields, and the save point after each step."""
        for step in steps:
            if isinstance(step, Begun):
                yield from self._hand_over(step.events, None)
                self._disconnect = None
                self._place = ResumeState(self._number, base=float(self._base))
            else:
                yield from self._hand_over(step.events, step.end)
                if self._decoder is not None:
                    stats = self._decoder.stats
                    self._exact = not stats.restarts and not stats.derived_times
                self._place = replace(self._place, mark=step.mark)
            yield from self._save()

    def _hand_over(
        self, events: Iterable[EventData], waited_for: Timestamp | None
    ) -> Iterator[EventData | Notice]:
        """Yield events; the time until the consumer asks for the next is that of the sinks."""
        for event in events:
            began = time.perf_counter()
            yield event
            self._times.lap("sinks", began)
            self._counts.scenes += isinstance(event, Scene)
            if isinstance(event, Boundary):
                self._counts.boundaries += 1
                yield Delivered(event, None if waited_for is None else self._late(waited_for))

    def _late(self, at: Timestamp) -> float | None:
        due = None if self._decoder is None else self._decoder.due(at)
        return None if due is None else max(0.0, time.monotonic() - due)

    def _note(
        self, run: EpochRun, connection: Connection, source: Source, item: Picture | Sound
    ) -> Iterator[Notice]:
        """Measure the lag after an item, and report ten times a second."""
        now = time.monotonic()
        self._times.add("source", connection.waited)
        lag = self._shedder.note(now, float(item.start.seconds), connection.waited)
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        if self._settings.source.realtime:
            lag = self._late(item.start) or 0.0
        elif not self._is_live(source):
            # Files, and pipes of finished films, are read as fast as possible: they have no lag.
            lag = 0.0
        self._shedder.relieve(lag if self._is_live(source) else 0.0, now)
        self._times.decoding(connection.decoding)
        self._progress = replace(self._progress, lag=lag)
        yield self._report(max(self._progress.position, self._base + run.elapsed))
        slow = self._shedder.slow(lag, now, self._times)
        if slow is not None:
            yield Behind(slow, lag)

    def _is_live(self, source: Source) -> bool:
        """Whether the input is made while it is read: only then may aspects be left out."""
        return source.endless or (self._settings.source.live and not source.replays)

    def _report(self, position: Fraction) -> Progress:
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
        return self._progress

    def _drift(self) -> float:
        drift = None if self._decoder is None else self._decoder.drift
        return 0.0 if drift is None else -drift

    def _save(self) -> Iterator[SavePoint]:
        if self._cut or not self._keeps_state:
            return
        if self._source is not None:
            self._place = replace(self._place, beginning=self._source.fingerprint())
        yield SavePoint(replace(self._counts), self._place, self._exact)


class _Faults:
    """Add up the errors of the input that the decoder of each connection counts."""

    def __init__(self) -> None:
        self._before: dict[Fault, int] = {}
        self._decoder: Decoder | None = None

    def watch(self, decoder: Decoder) -> None:
        """Continue with the decoder of the next connection."""
        self._before, self._decoder = self.total(), decoder

    def total(self) -> dict[Fault, int]:
        """Return how often each fault was seen so far."""
        if self._decoder is None:
            return dict(self._before)
        stats = self._decoder.stats
        seen: dict[Fault, int] = {
            "packet": stats.failed_packets,
            "picture": stats.corrupt_frames,
            "time": stats.dropped_frames,
        }
        return {fault: self._before.get(fault, 0) + times for fault, times in seen.items()}
