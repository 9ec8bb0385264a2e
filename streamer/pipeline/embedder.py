"""Turn frames and audio into embedded shots."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final

from streamer.pipeline.progress import StageTimes
from streamer.pipeline.resume_point import ResumePoint
from streamer.shots.base import MAX_DELAY, ShotOptions
from streamer.shots.detector import make_detector
from streamer.shots.fixed import SoundLead, WindowState
from streamer.timeline import EmbeddedShot, Picture, Sound, Timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.aspects.bank import AspectBank
    from streamer.aspects.thinning import Thinner
    from streamer.aspects.track import SoundPlace
    from streamer.extractor import Extractor
    from streamer.shots.thumbnails import SplitterState
    from streamer.shots.transnet import Network
    from streamer.timeline import Shot, ShotEnd, StreamInfo

PARALLEL_NETWORKS: Final = min(4, os.cpu_count() or 1)
"""Networks that run at a time, at the end of a shot and for many streams."""


class NoAspects:
    """Stand in for `AspectBank` where only shots are wanted; it needs no networks."""

    sound_place: SoundPlace | None = None
    lost_sound = Fraction(0)

    def __init__(self) -> None:
        self._read = Fraction(0)

    def begin(self, start: Fraction) -> None:
        """Set where the first shot begins."""
        self._read = start

    def read_to(self, seconds: Fraction) -> None:
        """Set how far the input has been read."""
        self._read = max(self._read, seconds)

    def push_picture(self, picture: Picture) -> None:
        """Take a frame."""
        self.read_to(picture.start.seconds)

    def push_sound(self, sound: Sound) -> None:
        """Take a block of audio."""

    def resume_sound(self, place: SoundPlace) -> None:
        """Resume within the audio."""

    def end_sound(self) -> None:
        """End the audio."""

    def advance(self, watermark: Fraction, closed: Sequence[Shot]) -> list[EmbeddedShot]:
        """Return the closed shots, without tokens."""
        self.read_to(watermark)
        return [EmbeddedShot(shot, {}, self._read, 0.0) for shot in closed]


class ShotEmbedder:
    """Split one stream into shots and embed them while they run.

    Frames decide where shots end. Audio is split in fixed windows where there are no frames,
    and also before the first frame when it comes more than ``max_interleave`` seconds
    after the first audio; audio that leads by less belongs to no shot. When no frame comes for
    longer than a shot may last, or to the end of the input, the last shot ends where the frames
    ended and windows continue; a frame declared to last longer than a shot may ends with it. A
    leap in the timestamps is part of one shot or window, however long, and costs no more.

    Args:
        info: What the demuxer reports.
        extractors: One per aspect; none where only shots are wanted.
        shots: The detector's choice and thresholds.
        key_frame_interval: Seconds between two key frames of one shot.
        key_frame_offset: Seconds from a cut to the first key frame.
        max_interleave: Seconds by which audio may run ahead of video in the container, or
            video ahead of audio.
        batch: Pieces of one aspect embedded together; 1 gives the lowest latency.
        workers: Threads that embed the last audio of a shot in parallel.
        resume: Continues after a closed shot: input from there on comes again, and before it a
            little audio to warm up resamplers.
        times: Adds up how long splitting and embedding take.
        shot_network: Network that finds shots, where the detector is one.
        thinner: Says what aspects leave out; nothing when None.
    """

    def __init__(
        self,
        info: StreamInfo,
        extractors: Sequence[Extractor] = (),
        shots: ShotOptions = ShotOptions(),  # noqa: B008  (frozen)
        *,
        key_frame_interval: float = 2.0,
        key_frame_offset: float = 0.2,
        max_interleave: float = 3.0,
        batch: int = 1,
        workers: int = 1,
        resume: ResumePoint | None = None,
        times: StageTimes | None = None,
        shot_network: Network | None = None,
        thinner: Thinner | None = None,
    ) -> None:
        interleave = Fraction(max_interleave).limit_denominator(1000)
        self._new_lead = partial(SoundLead, shots, max_wait=interleave)
        self._new_pictures = partial(make_detector, shots, info.frame_rate, shot_network)
        self._longest = Fraction(shots.max_seconds).limit_denominator(1000)
        self._shortest = Fraction(shots.min_seconds).limit_denominator(1000)
        self._window = Fraction(shots.sound_only_seconds).limit_denominator(1000)
        self._max_wait = interleave + self._longest
        self._lead = SoundLead(shots, interleave if info.has_picture else Fraction(0))
        self._pictures = self._new_pictures()
        self._bank: AspectBank | NoAspects = NoAspects()
        if extractors:
            from streamer.aspects.bank import AspectBank

            self._bank = AspectBank(
                extractors,
                batch=batch,
                max_interleave=interleave,
                has_sound=info.has_sound,
                workers=workers,
                ahead=MAX_DELAY + self._longest + self._max_wait,
                key_frame_interval=key_frame_interval,
                key_frame_offset=key_frame_offset,
                thinner=thinner,
            )
        self._start: Timestamp | None = None
        self._picture: Timestamp | None = None
        self._windows = 0
        self._end: Timestamp | None = None
        self._heard: Timestamp | None = None
        self._marks: deque[tuple[int, ResumePoint]] = deque()
        self._times = StageTimes() if times is None else times
        self._resumed_at: Timestamp | None = None
        if resume is not None:
            self._resume(resume)

    @property
    def start(self) -> Timestamp | None:
        """First instant of the first shot; None before it."""
        return self._start

    @property
    def end(self) -> Timestamp | None:
        """Where the last frame or window of audio ends; None before the first."""
        return self._end

    @property
    def lost_sound(self) -> Fraction:
        """Seconds of audio given up because no frame showed which shot they belong to."""
        return self._bank.lost_sound

    def push(self, item: Picture | Sound) -> list[EmbeddedShot]:
        """Take the next frame or block of audio, in demux order.

        Returns:
            Shots that are complete now, oldest first.
        """
        return self._push_picture(item) if isinstance(item, Picture) else self._push_sound(item)

    def mark(self, index: int) -> ResumePoint | None:
        """Return where to resume after a shot; None where that cannot be done exactly.

        Args:
            index: The shot's; marks of earlier ones are forgotten.
        """
        while self._marks and self._marks[0][0] < index:
            self._marks.popleft()
        return self._marks[0][1] if self._marks and self._marks[0][0] == index else None

    def finish(self, *, lost: bool = False, stopped: bool = False) -> list[EmbeddedShot]:
        """Close the running shot at the end of the input.

        Args:
            lost: The input may come back: the shot is ended by a gap.
            stopped: The input was left before its end. As where it was lost, frames may be missing
                that belong to the latest audio, which then makes no windows of its own.
        """
        if self._end is None:
            return []
        done: list[EmbeddedShot] = []
        closed: tuple[Shot, ...] = ()
        heard = self._heard
        whole = not (lost or stopped)
        if whole and self._picture is not None and heard is not None:
            shown = min(self._end, _after(self._picture, self._longest))
            if heard.seconds - shown.seconds > self._shortest:
                done = self._lose_pictures(shown, "cut" if shown == self._end else "forced")
                closed, self._end = self._windows_to(shown, heard), heard
        if self._picture is not None:
            closed = self._numbered(self._pictures.finish(self._end))
        elif not done:
            closed = self._numbered(self._lead.finish(self._end))
            self._begin(self._lead.start)
        if lost and closed:
            closed = (*closed[:-1], replace(closed[-1], ended_by="gap"))
        self._bank.end_sound()
        return [*done, *self._bank.advance(self._end.seconds, closed)]

    def _windows_to(self, start: Timestamp, end: Timestamp) -> tuple[Shot, ...]:
        """Split audio that is complete, and to which no frame belongs any more."""
        lead = self._new_lead(max_wait=Fraction(0))
        closed: list[Shot] = []
        at = start
        while at < end:
            step = lead.push(at)
            closed += step.closed if step is not None else ()
            at = _after(at, self._window)
        return self._numbered((*closed, *lead.finish(end)))

    def _push_picture(self, picture: Picture) -> list[EmbeddedShot]:
        done: list[EmbeddedShot] = []
        if self._picture is None:
            if self._lead.reached is not None and picture.start <= self._lead.reached:
                return []
            windows = self._numbered(self._lead.hand_over(picture.start))
            self._windows = windows[-1].index + 1 if windows else self._windows
            self._begin(picture.start)
            done += self._bank.advance(picture.start.seconds, windows)
        if self._resumed_at is not None and picture.start < self._resumed_at:
            return []
        began = time.perf_counter()
        self._bank.push_picture(picture)
        self._end = _after(picture.start, self._lasts(picture))
        self._picture = picture.start
        if picture.start == self._resumed_at:
            # The splitter has seen it: it is the first frame of the running shot.
            return []
        began = self._times.lap("aspects", began)
        step = self._pictures.push(picture)
        began = self._times.lap("shots", began)
        closed = self._numbered(step.closed)
        if closed:
            self._note(closed[-1].index, self._pictures.state())
        done += self._bank.advance(step.watermark.seconds, closed)
        self._times.lap("aspects", began)
        return done

    def _push_sound(self, sound: Sound) -> list[EmbeddedShot]:
        began = time.perf_counter()
        self._bank.push_sound(sound)
        length = Fraction(sound.frame.samples, sound.frame.sample_rate)
        ends = _after(sound.start, length)
        self._heard = ends if self._heard is None else max(self._heard, ends)
        began = self._times.lap("aspects", began)
        done: list[EmbeddedShot] = []
        if self._picture is not None:
            # No end yet: taken up again, and the first frame is still to come.
            if self._end is None:
                return []
            shown = min(self._end, _after(self._picture, self._longest))
            if sound.start.seconds <= shown.seconds + self._max_wait:
                return []
            done = self._lose_pictures(shown, "cut" if shown == self._end else "forced")
        if self._resumed_at is not None and sound.start < self._resumed_at:
            return []
        self._end = ends
        step = self._lead.push(sound.start)
        if step is None:
            return done
        self._begin(self._lead.start)
        closed = self._numbered(step.closed)
        if closed:
            self._note(closed[-1].index, self._lead.state())
        self._bank.read_to(sound.start.seconds)
        done += self._bank.advance(step.watermark.seconds, closed)
        self._times.lap("aspects", began)
        return done

    def _lose_pictures(self, end: Timestamp, ended_by: ShotEnd) -> list[EmbeddedShot]:
        """End the last shot of frames and begin windows of audio there."""
        closed = self._numbered(self._pictures.finish(end))
        if closed:
            closed = (*closed[:-1], replace(closed[-1], ended_by=ended_by))
            self._windows = closed[-1].index + 1
        self._picture, self._pictures = None, self._new_pictures()
        self._lead = self._new_lead()
        self._lead.push(end)
        self._bank.read_to(end.seconds)
        return self._bank.advance(end.seconds, closed)

    def _resume(self, mark: ResumePoint) -> None:
        self._start, self._windows, self._resumed_at = mark.start, mark.windows, mark.at
        self._bank.begin(mark.at.seconds)
        if mark.sound is not None:
            self._bank.resume_sound(mark.sound)
        if isinstance(mark.splitter, WindowState):
            self._lead.resume(mark.splitter)
        else:
            self._picture = mark.at
            self._pictures.resume(mark.splitter)

    def _note(self, index: int, state: SplitterState | WindowState | None) -> None:
        if state is None:
            return
        assert self._start is not None
        mark = ResumePoint(self._start, self._windows, state, self._bank.sound_place)
        self._marks.append((index, mark))

    def _begin(self, start: Timestamp | None) -> None:
        if self._start is None and start is not None:
            self._start = start
            self._bank.begin(start.seconds)

    def _numbered(self, closed: Sequence[Shot]) -> tuple[Shot, ...]:
        """Continue the numbering of the shots of other kind before."""
        return tuple(replace(shot, index=self._windows + shot.index) for shot in closed)

    def _lasts(self, picture: Picture) -> Fraction:
        """Return how long a frame is shown: as in the container, else as long as the one before."""
        if picture.frame.duration:
            return picture.frame.duration * picture.start.time_base
        last = self._picture
        return Fraction(0) if last is None else picture.start.seconds - last.seconds


def _after(start: Timestamp, duration: Fraction) -> Timestamp:
    return Timestamp(start.pts + round(duration / start.time_base), start.time_base)
