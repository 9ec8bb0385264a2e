"""Resample a stream's audio to one rate and address its samples by absolute time."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from av import AudioFrame, AudioResampler
from av.error import FFmpegError

from streamer.samples import named, packed, samples_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streamer.timeline import Sound


_PROBE_RATE: Final = 8000


def clean(sound: Sound) -> Sound:
    """Make a block fit for resampling.

    - Channels are interleaved: PyAV 18.1 counts the planes of a frame by looking for a null
      pointer, and reads past the array where there are eight or more.
    - Samples that are not finite become silence: they would never leave a filter's memory.
    - Channels are averaged where their places are unknown (plain WAV files) or the resampler has
      no downmix for them: without a layout, it guesses one and leaves its guess in the frame.
    - 64-bit integers lose their lower half, which PyAV cannot write.
    - The frame's own timestamp is left out, which may jitter by a tick or more.

    Args:
        sound: A decoded block of any layout and sample format; it is not changed.

    Returns:
        The block, interleaved; its start and length are as before.
    """
    frame = sound.frame
    samples, layout = samples_of(frame), frame.layout.name
    if samples.dtype.kind == "f" and not (finite := np.isfinite(samples)).all():
        samples = np.where(finite, samples, 0).astype(samples.dtype)
    if not mixes(layout):
        samples, layout = _mean(samples), "mono"
    if samples.dtype.itemsize == 8 and samples.dtype.kind == "i":
        samples = (samples >> 32).astype(np.int32)
    return replace(sound, frame=packed(samples, layout, frame.sample_rate))


@lru_cache(maxsize=64)
def mixes(layout: str) -> bool:
    """Say whether the resampler can mix a layout down to one channel.

    Args:
        layout: FFmpeg's name of it.
    """
    if not named(layout):
        return False
    try:
        silence = AudioFrame("flt", layout, 1)
        silence.sample_rate = _PROBE_RATE
        AudioResampler(format="s16", layout="mono", rate=_PROBE_RATE).resample(silence)
    except (FFmpegError, ValueError):
        return False
    return True


def _mean(samples: NDArray[Any]) -> NDArray[Any]:
    mean = samples.mean(axis=1, keepdims=True, dtype=np.float64)
    if samples.dtype.kind != "f":
        mean = mean.round()
    made: NDArray[Any] = mean.astype(samples.dtype)
    return made


MOST_HELD: Final = 4096
"""Blocks; more than come before a rare frame has shown where its shot ends."""
PATIENCE: Final = Fraction(2)
"""Seconds beyond the place after which it is not looked for any more."""


@dataclass(frozen=True, slots=True)
class SoundPlace:
    """A block of an unbroken run of audio, by which another process finds the run again.

    Attributes:
        block: Seconds at which the block starts.
        anchor: Seconds at which its run began.
        before: Samples of the run before the block, at the source's rate.
    """

    block: Fraction
    anchor: Fraction
    before: int


class PlaceFinder:
    """Hold blocks back until the one of a place has come, which shows where all of them lie.

    Resampled audio depends on how many samples came before; only counted from the beginning of the
    run is it what it was before the interruption.

    Args:
        place: Of a block that comes again.
    """

    def __init__(self, place: SoundPlace) -> None:
        self._place = place
        self.anchor = place.anchor
        self._held: deque[Sound] = deque()

    def push(self, sound: Sound) -> tuple[list[Sound], int | None] | None:
        """Take the next block.

        Returns:
            None while it is not known. Then the blocks, and how many samples of the run lie before
            the first of them; None when the place was not found.
        """
        self._held.append(sound)
        late = sound.start.seconds - self._place.block
        if late == 0:
            return self._found()
        if late > PATIENCE or len(self._held) > MOST_HELD:
            return list(self._held), None
        return None

    def _found(self) -> tuple[list[Sound], int]:
        before = self._place.before - sum(one.frame.samples for one in list(self._held)[:-1])
        # What lies before the run cannot be placed in it.
        while before < 0:
            before += self._held.popleft().frame.samples
        return list(self._held), before


RESYNC = Fraction(1, 25)
"""A block that starts this far from where the last one ended is a gap or a jump, not jitter."""


class SoundTrack:
    """Resample a stream to one rate and keep the part that open shots still need.

    Sample ``n`` sounds at ``n / rate`` seconds on the stream's clock. What was never received
    reads as zeros and is counted as missing. Memory is bounded by ``capacity`` seconds of received
    audio, however far apart in time they lie.

    Args:
        rate: Target rate, Hz.
        capacity: Most seconds kept; the oldest blocks are lost first.

    Attributes:
        rate: Target rate, Hz.
        lost: Samples given up because more than ``capacity`` had to be kept.
    """

    def __init__(self, rate: int, capacity: Fraction = Fraction(60)) -> None:
        self.rate = rate
        self.lost = 0
        self._capacity = int(capacity * rate)
        self._resampler: AudioResampler | None = None
        self._format: tuple[int, str, str] | None = None
        self._expected: Fraction | None = None
        self._anchor = Fraction(0)
        self._taken = 0
        self._latest: tuple[Fraction, int] | None = None
        self._aligned: tuple[Fraction, int] | None = None
        self._blocks: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._kept = 0
        self._end: int | None = None

    @property
    def end(self) -> Fraction | None:
        """Seconds up to which audio has come out of the resampler; None before the first."""
        return None if self._end is None else Fraction(self._end, self.rate)

    @property
    def place(self) -> SoundPlace | None:
        """Of the latest block; None before the first."""
        if self._latest is None:
            return None
        block, before = self._latest
        return SoundPlace(block, self._anchor, before)

    def align(self, anchor: Fraction, before: int) -> None:
        """Set where the next block lies, so that it is resampled as if all before it had come.

        Args:
            anchor: Seconds at which its run of audio began.
            before: Samples of the run before it, at the source's rate.
        """
        self.flush()
        self._aligned = anchor, before

    def push(self, sound: Sound) -> None:
        """Add the next clean block; a change of format, a gap or a jump restarts the resampler."""
        frame, start = sound.frame, sound.start.seconds
        kind = (frame.sample_rate, frame.layout.name, frame.format.name)
        jumped = self._expected is None or abs(start - self._expected) > RESYNC
        if self._aligned is None and (self._resampler is None or kind != self._format or jumped):
            self._aligned = start, 0
        first = 0 if self._aligned is None else self._begin(frame, kind, *self._aligned)
        self._latest = start, self._taken
        self._taken += frame.samples
        self._expected = self._anchor + Fraction(self._taken, frame.sample_rate)
        if self._resampler is not None:
            self._append(self._resampler.resample(_without(frame, first) if first else frame))

    def _begin(
        self, frame: AudioFrame, kind: tuple[int, str, str], anchor: Fraction, before: int
    ) -> int:
        """Start the resampler where its output has the phase that it has in the whole run.

        Returns:
            The block's first sample to resample; it is beyond a block with which it cannot start.
        """
        self.flush()
        self._anchor, self._taken = anchor, before
        rate = frame.sample_rate
        skipped = -before % (rate // math.gcd(rate, self.rate))
        if skipped >= frame.samples:
            self._aligned = anchor, before + frame.samples
            return skipped
        self._aligned, self._format = None, kind
        # To 16 bits because only then does the downmix keep full scale at full scale.
        self._resampler = AudioResampler(format="s16", layout="mono", rate=self.rate)
        self._next = round(anchor * self.rate) + (before + skipped) * self.rate // rate
        return skipped

    def flush(self) -> None:
        """Drain the resampler at the end of the input or of a run of blocks."""
        if self._resampler is not None:
            self._append(self._resampler.resample(None))
            self._resampler = None
            self._expected = None

    def _append(self, frames: Iterable[AudioFrame]) -> None:
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.float32) / np.float32(32768)
            start, self._next = self._next, self._next + len(samples)
            # A jump back repeats time already heard: the first hearing counts.
            overlap = 0 if self._end is None else max(0, self._end - start)
            if overlap < len(samples):
                self._blocks.append((start + overlap, samples[overlap:]))
                self._kept += len(samples) - overlap
                self._end = start + len(samples)
        while self._kept > self._capacity and len(self._blocks) > 1:
            self.lost += self._forget()

    def drop(self, before: int) -> None:
        """Forget whole blocks that end at or before sample ``before``."""
        while self._blocks and self._blocks[0][0] + len(self._blocks[0][1]) <= before:
            self._forget()

    def _forget(self) -> int:
        samples = len(self._blocks.popleft()[1])
        self._kept -= samples
        return samples

    def received_from(self, start: int) -> int | None:
        """Return the first received sample at or after sample ``start``; None without one."""
        for first, samples in self._blocks:
            if first + len(samples) > start:
                return max(first, start)
        return None

    def read(self, start: int, end: int) -> tuple[NDArray[np.float32], int]:
        """Read samples ``start`` to ``end``, the last one not included.

        Returns:
            The samples within [-1, 1], float32 ``(end - start,)``, zeros where nothing was
            received, and how many were received.
        """
        out = np.zeros(end - start, np.float32)
        received = 0
        for first, samples in self._blocks:
            if first >= end:
                break
            low, high = max(first, start), min(first + len(samples), end)
            if low < high:
                out[low - start : high - start] = samples[low - first : high - first]
                received += high - low
        return out, received


def _without(frame: AudioFrame, samples: int) -> AudioFrame:
    """Cut the first samples off a block."""
    return packed(samples_of(frame)[samples:], frame.layout.name, frame.sample_rate)
