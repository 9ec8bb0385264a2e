"""The picture aspects of one stream: key frames, one resize per size, embedding."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from streamer.aspects.lane import Lane, close_all
from streamer.aspects.resize import Resizer
from streamer.extractor import Extractor, PictureInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from streamer.aspects.keyframes import KeyFrames
    from streamer.aspects.thinning import Thinner
    from streamer.timeline import Picture


class PictureAspects:
    """Embeds the key frames of the running shot.

    Args:
        extractors: Those of kind ``picture``.
        thinner: Says what is left out.
        batch: Key frames embedded together.
        key_frames: Chooses the key frames.
    """

    def __init__(
        self,
        extractors: Iterable[Extractor],
        thinner: Thinner,
        *,
        batch: int,
        key_frames: KeyFrames,
    ) -> None:
        self._thinner = thinner
        self._count = 0
        self._lanes: dict[PictureInput, list[Lane]] = defaultdict(list)
        for extractor in extractors:
            if isinstance(extractor.input, PictureInput):
                self._lanes[extractor.input].append(Lane(extractor, batch))
        self._resizers = {
            spec: Resizer(spec.height, spec.width, keep_aspect=spec.keep_aspect)
            for spec in self._lanes
        }
        self._key_frames = key_frames

    def push(self, picture: Picture) -> None:
        """Takes the next picture in presentation order."""
        if self._lanes:
            self._key_frames.push(picture)

    def advance(self, start: Fraction, until: Fraction) -> None:
        """Embeds what the shot that began at ``start`` shows before ``until``."""
        self._embed(self._key_frames.take(start, until))

    def close(self, start: Fraction, end: Fraction) -> dict[str, NDArray[np.float32]]:
        """Tokens ``(tokens, dim)`` of the shot ``[start, end)`` by aspect."""
        self._embed(self._key_frames.close(start, end))
        self._count = 0
        return close_all([lane for lanes in self._lanes.values() for lane in lanes])

    def _embed(self, chosen: list[Picture]) -> None:
        for picture in chosen:
            for spec, lanes in self._lanes.items():
                wanted = [
                    lane
                    for lane in lanes
                    if self._thinner.takes(lane.extractor.aspect, "seen", self._count)
                ]
                if wanted:
                    piece = self._resizers[spec](picture)
                    for lane in wanted:
                        lane.add(piece)
            self._count += 1
