"""Embed what a stream sounds like: overlapping windows of audio."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.aspects.batching import ShotBatcher, flush_all
from streamer.aspects.track import PlaceFinder, SoundTrack, clean
from streamer.extractor import Extractor, SoundInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streamer.aspects.thinning import Thinner
    from streamer.aspects.track import SoundPlace
    from streamer.timeline import Sound


def full_windows(length: int, spec: SoundInput) -> int:
    """Count the windows that fit whole into the first ``length`` samples of a shot."""
    return 0 if length < spec.window else 1 + (length - spec.window) // spec.hop


def last_window(length: int, spec: SoundInput) -> tuple[int, int] | None:
    """Return what is left to embed when a shot closes after ``length`` samples.

    A shot shorter than the window gives one short piece. Otherwise an unheard rest of at least
    half a hop gives one more window that ends with the shot.

    Returns:
        ``(start, end)`` relative to the shot's first sample, or None when nothing is left.
    """
    if length <= 0:
        return None
    whole = full_windows(length, spec)
    if whole == 0:
        return 0, length
    covered = (whole - 1) * spec.hop + spec.window
    return (length - spec.window, length) if 2 * (length - covered) >= spec.hop else None


SILENCE = 1e-4
"""Peak (-80 dBFS) under which a piece of audio says nothing: the aspect is not observed."""

MIN_RECEIVED = 0.5
"""Share of a piece's samples that must have been received for it to count."""


class SoundAspects:
    """Embed the windows of the running shot.

    Args:
        extractors: Those of kind ``sound``.
        thinner: Says what is left out.
        batch: Windows of one aspect embedded together.
        workers: Threads that embed the last windows of a shot side by side.
        ahead: Seconds by which audio may come before what is certain; kept are the longest window
            and its hop besides.
    """

    def __init__(
        self,
        extractors: Iterable[Extractor],
        thinner: Thinner,
        *,
        batch: int,
        workers: int = 1,
        ahead: Fraction = Fraction(60),
    ) -> None:
        self._thinner = thinner
        self._batchers: dict[SoundInput, list[ShotBatcher]] = defaultdict(list)
        for extractor in extractors:
            if isinstance(extractor.input, SoundInput):
                self._batchers[extractor.input].append(ShotBatcher(extractor, batch))
        self._pool = ThreadPoolExecutor(workers, "sound") if workers > 1 else None
        self._done = dict.fromkeys(self._batchers, 0)
        self._offered = dict.fromkeys(self._batchers, 0)
        self._finder: PlaceFinder | None = None
        kept = ahead + max((Fraction(s.window + s.hop, s.rate) for s in self._batchers), default=0)
        self._tracks = {spec.rate: SoundTrack(spec.rate, kept) for spec in self._batchers}

    @property
    def idle(self) -> bool:
        """No aspect wants audio."""
        return not self._batchers

    @property
    def lost(self) -> Fraction:
        """Seconds of audio that were given up before they were embedded."""
        tracks = self._tracks.values()
        return max((Fraction(track.lost, track.rate) for track in tracks), default=Fraction(0))

    @property
    def heard(self) -> Fraction | None:
        """Seconds up to which audio can be read at every rate; None before the first."""
        ends = [track.end for track in self._tracks.values()]
        known = [end for end in ends if end is not None]
        return min(known) if len(known) == len(ends) and known else None

    @property
    def place(self) -> SoundPlace | None:
        """Of the latest block; None before the first, and while one is looked for."""
        if self._finder is not None:
            return None
        return next((track.place for track in self._tracks.values()), None)

    def resume(self, place: SoundPlace) -> None:
        """Resume within a run of audio; before the first block.

        Args:
            place: Of a block that comes again.
        """
        self._finder = PlaceFinder(place)

    def push(self, sound: Sound) -> None:
        """Take the next block."""
        block = clean(sound)
        finder = self._finder
        if finder is None:
            self._push(block)
        elif (found := finder.push(block)) is not None:
            self._finder = None
            blocks, before = found
            if before is not None:
                for track in self._tracks.values():
                    track.align(finder.anchor, before)
            for one in blocks:
                self._push(one)

    def _push(self, block: Sound) -> None:
        for track in self._tracks.values():
            track.push(block)

    def end(self) -> None:
        """End the audio."""
        for track in self._tracks.values():
            track.flush()

    def advance(self, start: Fraction, until: Fraction) -> None:
        """Embed the whole windows that the shot begun at ``start`` has before ``until``."""
        needed: dict[int, int] = {}
        for spec in self._batchers:
            origin = round(start * spec.rate)
            total = full_windows(round(until * spec.rate) - origin, spec)
            for index in self._received(spec, origin, total):
                self._embed(spec, origin, (index * spec.hop, index * spec.hop + spec.window))
            self._done[spec] = max(self._done[spec], total)
            # The window that ends with the shot begins no earlier than the last whole one.
            first = origin + max(0, self._done[spec] - 1) * spec.hop
            needed[spec.rate] = min(first, needed.get(spec.rate, first))
        for rate, first in needed.items():
            self._tracks[rate].drop(first)

    def _received(self, spec: SoundInput, origin: int, total: int) -> Iterator[int]:
        """Yield the windows still to do in which something was received: a gap costs nothing."""
        track, index = self._tracks[spec.rate], self._done[spec]
        while index < total:
            sample = track.received_from(origin + index * spec.hop)
            if sample is None:
                return
            index = max(index, (sample - origin - spec.window) // spec.hop + 1)
            if index < total:
                yield index
            index += 1

    def close(self, start: Fraction, end: Fraction) -> dict[str, NDArray[np.float32]]:
        """Return tokens ``(tokens, dim)`` of the shot ``[start, end)`` by aspect."""
        self.advance(start, end)
        for spec in self._batchers:
            origin = round(start * spec.rate)
            rest = last_window(round(end * spec.rate) - origin, spec)
            if rest is not None:
                self._embed(spec, origin, rest, last=True)
            self._done[spec] = self._offered[spec] = 0
        for rate, track in self._tracks.items():
            track.drop(round(end * rate))
        return flush_all(
            [batcher for batchers in self._batchers.values() for batcher in batchers], self._pool
        )

    def _embed(
        self, spec: SoundInput, origin: int, span: tuple[int, int], *, last: bool = False
    ) -> None:
        samples, received = self._tracks[spec.rate].read(origin + span[0], origin + span[1])
        if received < MIN_RECEIVED * len(samples) or np.abs(samples).max() < SILENCE:
            return
        # Only what can be embedded is counted: a silent beginning must not thin away what follows.
        number = self._offered[spec]
        self._offered[spec] += 1
        # A short piece is repeated to the window's length: padding with zeros would show the
        # network of an onset that is not in the audio.
        piece = torch.from_numpy(np.resize(samples, spec.window))
        for batcher in self._batchers[spec]:
            if self._thinner.takes(batcher.extractor.aspect, "heard", number):
                (batcher.add_last if last else batcher.add)(piece)
