"""The sound aspects of one stream: one resampling per rate, windows, embedding."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.aspects.clean import clean
from streamer.aspects.extractor import Extractor, SoundInput
from streamer.aspects.lane import Lane, close_all
from streamer.aspects.sound_place import PlaceFinder
from streamer.aspects.track import SoundTrack
from streamer.aspects.windows import full_windows, last_window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streamer.aspects.sound_place import SoundPlace
    from streamer.aspects.thinning import Thinner
    from streamer.timeline import Sound

SILENCE = 1e-4
"""Peak (-80 dBFS) under which a piece of sound says nothing: the aspect is not observed."""

MIN_RECEIVED = 0.5
"""Share of a piece's samples that must have been received for it to count."""


class SoundAspects:
    """Embeds the windows of the running shot.

    Args:
        extractors: Those of kind ``sound``.
        thinner: Says what is left out.
        batch: Windows of one aspect embedded together.
        workers: Threads that embed the last windows of a shot side by side.
    """

    def __init__(
        self,
        extractors: Iterable[Extractor],
        thinner: Thinner,
        *,
        batch: int,
        workers: int = 1,
    ) -> None:
        self._thinner = thinner
        self._lanes: dict[SoundInput, list[Lane]] = defaultdict(list)
        for extractor in extractors:
            if isinstance(extractor.input, SoundInput):
                self._lanes[extractor.input].append(Lane(extractor, batch))
        self._pool = ThreadPoolExecutor(workers, "sound") if workers > 1 else None
        self._done = dict.fromkeys(self._lanes, 0)
        self._finder: PlaceFinder | None = None
        self._tracks = {rate: SoundTrack(rate) for rate in {spec.rate for spec in self._lanes}}

    @property
    def idle(self) -> bool:
        """No aspect wants sound."""
        return not self._lanes

    @property
    def heard(self) -> Fraction | None:
        """Seconds up to which sound can be read at every rate; None before the first."""
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
        """Goes on in a run of sound; before the first block.

        Args:
            place: Of a block that comes again.
        """
        self._finder = PlaceFinder(place)

    def push(self, sound: Sound) -> None:
        """Takes the next block."""
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
        """Says that no more sound will come."""
        for track in self._tracks.values():
            track.flush()

    def advance(self, start: Fraction, until: Fraction) -> None:
        """Embeds the whole windows that the shot begun at ``start`` has before ``until``."""
        for spec, lanes in self._lanes.items():
            total = full_windows(round(until * spec.rate) - round(start * spec.rate), spec)
            for index in range(self._done[spec], total):
                span = (index * spec.hop, index * spec.hop + spec.window)
                self._embed(spec, self._wanted(lanes, index), start, span)
            self._done[spec] = max(self._done[spec], total)

    def close(self, start: Fraction, end: Fraction) -> dict[str, NDArray[np.float32]]:
        """Tokens of the shot ``[start, end)`` by aspect."""
        self.advance(start, end)
        for spec, lanes in self._lanes.items():
            rest = last_window(round(end * spec.rate) - round(start * spec.rate), spec)
            if rest is not None:
                self._embed(spec, self._wanted(lanes, self._done[spec]), start, rest, last=True)
            self._done[spec] = 0
        for rate, track in self._tracks.items():
            track.drop(round(end * rate))
        return close_all([lane for lanes in self._lanes.values() for lane in lanes], self._pool)

    def _wanted(self, lanes: list[Lane], number: int) -> list[Lane]:
        return [
            lane for lane in lanes if self._thinner.takes(lane.extractor.aspect, "heard", number)
        ]

    def _embed(
        self,
        spec: SoundInput,
        lanes: list[Lane],
        start: Fraction,
        span: tuple[int, int],
        *,
        last: bool = False,
    ) -> None:
        if not lanes:
            return
        origin = round(start * spec.rate)
        samples, received = self._tracks[spec.rate].read(origin + span[0], origin + span[1])
        if received < MIN_RECEIVED * len(samples) or np.abs(samples).max() < SILENCE:
            return
        # A short piece is repeated to the window's length: padding with zeros would tell the
        # network of an onset that is not in the sound.
        piece = torch.from_numpy(np.resize(samples, spec.window))
        for lane in lanes:
            (lane.add_last if last else lane.add)(piece)
