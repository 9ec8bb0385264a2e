"""Pictures and sound in, embedded shots out."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.aspects.bank import AspectBank
from streamer.shots.fixed import FixedSplitter
from streamer.shots.signature import Signer
from streamer.shots.splitter import ShotSplitter
from streamer.timeline import Instant, Picture, Sound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.aspects.extractor import Extractor
    from streamer.config.sections import AspectsSection, DecodeSection, ShotsSection
    from streamer.shots.step import Step
    from streamer.timeline import EmbeddedShot, StreamInfo


class ShotEmbedder:
    """Splits one stream into shots and embeds them while they run.

    The first shot starts at the first picture (the first sound, where there is no picture);
    sound before it belongs to no shot.

    Args:
        info: What the demuxer said.
        shots: Thresholds of the splitter.
        aspects: The key-frame rule.
        decode: Bounds.
        extractors: One per aspect.
        batch: Pieces of one aspect embedded together; 1 gives the lowest latency.
    """

    def __init__(
        self,
        info: StreamInfo,
        shots: ShotsSection,
        aspects: AspectsSection,
        decode: DecodeSection,
        extractors: Sequence[Extractor],
        *,
        batch: int,
    ) -> None:
        self._pictures = ShotSplitter(shots, info.frame_rate) if info.has_picture else None
        self._windows = FixedSplitter(shots)
        self._signer = Signer()
        self._bank = AspectBank(
            extractors,
            aspects,
            batch=batch,
            max_interleave=Fraction(decode.max_interleave).limit_denominator(1000),
            has_sound=info.has_sound,
        )
        self._start: Instant | None = None
        self._last: Instant | None = None
        self._end: Instant | None = None

    @property
    def start(self) -> Instant | None:
        """First instant of the first shot; None before it."""
        return self._start

    def push(self, item: Picture | Sound) -> list[EmbeddedShot]:
        """Takes the next picture or block of sound, in demux order.

        Returns:
            Shots that are complete now, oldest first.
        """
        if isinstance(item, Picture):
            return self._push_picture(item)
        self._bank.push_sound(item)
        return [] if self._pictures else self._push_window(item)

    def finish(self) -> list[EmbeddedShot]:
        """Closes the running shot at the end of the input."""
        if self._end is None:
            return []
        closed = (self._pictures or self._windows).finish(self._end)
        self._bank.end_sound()
        return self._bank.advance(self._end.seconds, closed)

    def _push_picture(self, picture: Picture) -> list[EmbeddedShot]:
        assert self._pictures is not None
        self._begin(picture.start)
        self._bank.push_picture(picture)
        self._end = _after(picture.start, self._lasts(picture))
        self._last = picture.start
        return self._advance(self._pictures.push(picture.start, self._signer.sign(picture.frame)))

    def _push_window(self, sound: Sound) -> list[EmbeddedShot]:
        self._begin(sound.start)
        self._end = _after(sound.start, Fraction(sound.frame.samples, sound.frame.sample_rate))
        return self._advance(self._windows.push(sound.start))

    def _begin(self, start: Instant) -> None:
        if self._start is None:
            self._start = start
            self._bank.begin(start.seconds)

    def _advance(self, step: Step) -> list[EmbeddedShot]:
        return self._bank.advance(step.watermark.seconds, step.closed)

    def _lasts(self, picture: Picture) -> Fraction:
        """How long a picture is shown: as the container says, else as long as the one before."""
        if picture.frame.duration:
            return picture.frame.duration * picture.start.time_base
        return Fraction(0) if self._last is None else picture.start.seconds - self._last.seconds


def _after(start: Instant, duration: Fraction) -> Instant:
    return Instant(start.pts + round(duration / start.time_base), start.time_base)
