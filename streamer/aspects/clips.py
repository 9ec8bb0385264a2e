"""The clip aspects of one stream: short runs of small grey pictures, embedding."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import torch

from streamer.aspects.lane import Lane, close_all
from streamer.aspects.resize import Resizer
from streamer.extractor import ClipInput, Extractor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from streamer.aspects.thinning import Thinner
    from streamer.timeline import Picture


class ClipAspects:
    """Embeds the clips of the running shot.

    Args:
        extractors: Those of kind ``clip``.
        thinner: Says what is left out.
        batch: Clips embedded together.
    """

    def __init__(self, extractors: Iterable[Extractor], thinner: Thinner, *, batch: int) -> None:
        self._thinner = thinner
        self._lanes: dict[ClipInput, list[Lane]] = defaultdict(list)
        for extractor in extractors:
            if isinstance(extractor.input, ClipInput):
                self._lanes[extractor.input].append(Lane(extractor, batch))
        self._clips = {spec: ClipCutter(spec) for spec in self._lanes}
        self._counts = dict.fromkeys(self._lanes, 0)

    def push(self, picture: Picture) -> None:
        """Takes the next picture in presentation order."""
        for spec, cutter in self._clips.items():
            if all(self._thinner.drops(lane.extractor.aspect) for lane in self._lanes[spec]):
                # Making pictures small is most of the cost.
                cutter.forget()
            else:
                cutter.push(picture)

    def advance(self, until: Fraction) -> None:
        """Embeds the whole clips that the running shot has before ``until``."""
        for spec, cutter in self._clips.items():
            self._embed(spec, cutter.take(until))

    def close(self, end: Fraction) -> dict[str, NDArray[np.float32]]:
        """Tokens ``(tokens, dim)`` of the shot that ends at ``end``, by aspect."""
        for spec, cutter in self._clips.items():
            self._embed(spec, cutter.close(end))
            self._counts[spec] = 0
        return close_all([lane for lanes in self._lanes.values() for lane in lanes])

    def _embed(self, spec: ClipInput, pieces: Iterable[torch.Tensor]) -> None:
        for piece in pieces:
            for lane in self._lanes[spec]:
                if self._thinner.takes(lane.extractor.aspect, "seen", self._counts[spec]):
                    lane.add(piece)
            self._counts[spec] += 1


class ClipCutter:
    """Cuts a stream's pictures into clips of one kind; holds small pictures only.

    Args:
        spec: What a clip looks like.
    """

    def __init__(self, spec: ClipInput) -> None:
        self._spec = spec
        self._resize = Resizer(spec.height, spec.width, grey=True)
        self._pushed: Fraction | None = None
        self._held: deque[tuple[Fraction, torch.Tensor]] = deque()
        self._run: deque[torch.Tensor] = deque(maxlen=spec.frames)
        self._fresh = 0
        self._none_yet = True

    def push(self, picture: Picture) -> None:
        """Holds a picture until it is known which shot it belongs to."""
        now = picture.start.seconds
        if self._pushed is not None and 0 <= now - self._pushed < self._spec.interval:
            return
        self._pushed = now
        self._held.append((now, self._resize(picture)))

    def forget(self) -> None:
        """Drops what is held: the next picture begins a clip."""
        self._held.clear()
        self._run.clear()
        self._fresh = 0

    def take(self, until: Fraction) -> Iterator[torch.Tensor]:
        """Whole clips of the shot before ``until``, uint8 ``(frames, 1, height, width)`` each."""
        while self._held and self._held[0][0] < until:
            self._run.append(self._held.popleft()[1])
            self._fresh += 1
            if self._fresh == self._spec.frames:
                yield self._clip()
                # The last picture begins the next clip, so that no step is lost.
                self._fresh = 1

    def close(self, end: Fraction) -> Iterator[torch.Tensor]:
        """The clips still to be cut from the shot that ends at ``end``.

        Steps not yet in a clip give one more clip, which ends with the shot, when they are at
        least half a clip or the shot has no other.

        Yields:
            Uint8 ``(frames, 1, height, width)`` each.
        """
        yield from self.take(end)
        least = 2 if self._none_yet else 1 + self._spec.frames // 2
        if self._fresh >= least:
            while len(self._run) < self._spec.frames:
                self._run.append(self._run[-1])
            yield self._clip()
        self._run.clear()
        self._fresh = 0
        self._none_yet = True

    def _clip(self) -> torch.Tensor:
        self._none_yet = False
        return torch.stack(list(self._run))
