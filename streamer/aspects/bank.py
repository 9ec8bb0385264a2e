"""Compute all aspects of one stream while a shot is still running."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.aspects.audio import SoundAspects
from streamer.aspects.thinning import Thinner
from streamer.aspects.video import ClipAspects, KeyFrames, PictureAspects
from streamer.timeline import EmbeddedShot

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from streamer.aspects.track import SoundPlace
    from streamer.extractor import Extractor
    from streamer.timeline import Picture, Shot, Sound


@dataclass(frozen=True, slots=True)
class _Closing:
    """A shot that has ended and may still wait for its audio."""

    shot: Shot
    pictures: dict[str, NDArray[np.float32]]
    since: float


class AspectBank:
    """Feed frames and audio to every extractor, shot by shot.

    A piece is embedded as soon as no cut can fall into it any more, so at a cut only the last
    piece of each aspect is left to do.

    Args:
        extractors: One per aspect.
        batch: Pieces of one aspect embedded together; 1 gives the lowest latency.
        max_interleave: Seconds that audio may trail the frames in the input before it is
            taken as missing; bounds how long a closed shot waits.
        has_sound: The stream has audio.
        workers: Threads that embed the last audio of a shot in parallel.
        ahead: Seconds by which audio may come before the watermark; more than that is lost.
        key_frame_interval: Seconds between two key frames of one shot.
        key_frame_offset: Seconds from a cut to the first key frame.
        thinner: Says what is left out; nothing when None.
    """

    def __init__(
        self,
        extractors: Sequence[Extractor],
        *,
        batch: int = 1,
        max_interleave: Fraction = Fraction(3),
        has_sound: bool,
        workers: int = 1,
        ahead: Fraction = Fraction(60),
        key_frame_interval: float = 2.0,
        key_frame_offset: float = 0.2,
        thinner: Thinner | None = None,
    ) -> None:
        if thinner is None:
            thinner = Thinner([extractor.aspect for extractor in extractors])
        key_frames = KeyFrames(
            Fraction(key_frame_offset).limit_denominator(1000),
            Fraction(key_frame_interval).limit_denominator(1000),
        )
        self._pictures = PictureAspects(extractors, thinner, batch=batch, key_frames=key_frames)
        self._clips = ClipAspects(extractors, thinner, batch=batch)
        self._sounds = SoundAspects(extractors, thinner, batch=batch, workers=workers, ahead=ahead)
        self._max_interleave = max_interleave
        self._sound_ended = not has_sound or self._sounds.idle
        self._picture_start = self._sound_start = self._read = Fraction(0)
        self._closing: deque[_Closing] = deque()

    def begin(self, start: Fraction) -> None:
        """Set where the first shot begins, seconds on the stream's clock; before ``advance``."""
        self._picture_start = self._sound_start = self._read = start

    def read_to(self, seconds: Fraction) -> None:
        """Set how far the input has been read where that is not how far it is certain."""
        self._read = max(self._read, seconds)

    def push_picture(self, picture: Picture) -> None:
        """Take the next frame in presentation order."""
        self.read_to(picture.start.seconds)
        self._pictures.push(picture)
        self._clips.push(picture)

    def push_sound(self, sound: Sound) -> None:
        """Take the next block of audio."""
        if not self._sound_ended:
            self._sounds.push(sound)

    @property
    def sound_place(self) -> SoundPlace | None:
        """Of the latest block of audio; None where there is none."""
        return None if self._sound_ended else self._sounds.place

    @property
    def lost_sound(self) -> Fraction:
        """Seconds of audio that came so far ahead of the frames that they were given up."""
        return self._sounds.lost

    def resume_sound(self, place: SoundPlace) -> None:
        """Resume within a run of audio; before the first block."""
        self._sounds.resume(place)

    def end_sound(self) -> None:
        """End the audio, so that nothing waits for it."""
        self._sounds.end()
        self._sound_ended = True

    def advance(self, watermark: Fraction, closed: Sequence[Shot]) -> list[EmbeddedShot]:
        """Embed what has become certain.

        Args:
            watermark: No cut will be reported before this instant any more.
            closed: Shots that ended since the last call, oldest first.

        Returns:
            Shots whose tokens are complete, oldest first; a shot may come out of a later call
            than the one that closed it, when its audio is still on the way.
        """
        now = time.perf_counter()
        for shot in closed:
            tokens = self._pictures.close(shot.start.seconds, shot.end.seconds)
            moves = self._clips.close(shot.end.seconds)
            self._closing.append(_Closing(shot, tokens | moves, now))
            self._picture_start = shot.end.seconds
        self._pictures.advance(self._picture_start, watermark)
        self._clips.advance(watermark)
        self.read_to(watermark)
        return self._drain(watermark)

    def _drain(self, watermark: Fraction) -> list[EmbeddedShot]:
        done = []
        while self._closing and self._heard(self._closing[0].shot.end.seconds):
            closing = self._closing.popleft()
            start, end = closing.shot.start.seconds, closing.shot.end.seconds
            tokens = closing.pictures | self._sounds.close(start, end)
            self._sound_start = end
            elapsed = time.perf_counter() - closing.since
            done.append(EmbeddedShot(closing.shot, tokens, self._read, elapsed))
        if not self._closing and (heard := self._sounds.heard) is not None:
            self._sounds.advance(self._sound_start, min(watermark, heard))
        return done

    def _heard(self, until: Fraction) -> bool:
        """Return whether audio up to ``until`` is here, or given up."""
        if self._sound_ended or until <= self._read - self._max_interleave:
            return True
        heard = self._sounds.heard
        return heard is not None and heard >= until
