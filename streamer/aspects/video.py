"""Embed what a stream shows: key frames, and clips of consecutive frames."""

from __future__ import annotations

from collections import defaultdict, deque
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from streamer.aspects.batching import ShotBatcher, flush_all
from streamer.extractor import ClipInput, Extractor, PictureInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streamer.aspects.thinning import Thinner
    from streamer.timeline import Picture


class KeyFrames:
    """Pick key frames from frames that a cut can no longer claim.

    The first key frame is the first frame ``offset`` seconds into the shot, then one every
    ``interval``; a shot too short for any gives its last frame.

    Args:
        offset: Seconds skipped after a cut (a dissolve may still be under way there).
        interval: Seconds between key frames of one shot.
    """

    def __init__(self, offset: Fraction, interval: Fraction) -> None:
        self._offset, self._interval = offset, interval
        self._held: deque[Picture] = deque()
        self._last: Picture | None = None
        self._due: Fraction | None = None
        self._none_yet = True

    def push(self, picture: Picture) -> None:
        """Hold a frame until the watermark or a cut shows which shot it belongs to."""
        self._held.append(picture)

    def take(self, shot_start: Fraction, until: Fraction) -> list[Picture]:
        """Return key frames among the held frames of the shot that begin before ``until``."""
        if self._due is None:
            self._due = shot_start + self._offset
        taken = []
        while self._held and self._held[0].start.seconds < until:
            self._last = self._held.popleft()
            if self._last.start.seconds >= self._due:
                taken.append(self._last)
                late = self._last.start.seconds - self._due
                self._due += (late // self._interval + 1) * self._interval
        if taken:
            self._none_yet = False
        return taken

    def close(self, shot_start: Fraction, end: Fraction) -> list[Picture]:
        """Return the key frames still to be taken from the shot ``[shot_start, end)``."""
        taken = self.take(shot_start, end)
        if self._none_yet and self._last is not None:
            taken = [self._last]
        self._due = self._last = None
        self._none_yet = True
        return taken


class Resizer:
    """Resize and turn frames upright, for one target size.

    Args:
        height: Pixels.
        width: Pixels.
        grey: One channel instead of RGB.
        keep_aspect: Fit into the upper left corner, black elsewhere, instead of stretching.
    """

    def __init__(
        self, height: int, width: int, *, grey: bool = False, keep_aspect: bool = False
    ) -> None:
        self._height, self._width = height, width
        self._format = "gray" if grey else "rgb24"
        self._keep_aspect = keep_aspect
        self._reformatter = VideoReformatter()

    def __call__(self, picture: Picture) -> torch.Tensor:
        """Return uint8 ``(3 or 1, height, width)``; rotation metadata is applied."""
        frame = picture.frame
        turns = round(frame.rotation / 90) % 4
        shown = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
        height, width = self._fitted(*shown)
        across, down = (height, width) if turns % 2 else (width, height)
        small = self._reformatter.reformat(
            frame,
            width=across,
            height=down,
            format=self._format,
            interpolation="BICUBIC",
            # Without a number, a thread a core for every size of every stream.
            threads=1,
        )
        upright = np.atleast_3d(np.rot90(small.to_ndarray(), turns)).transpose(2, 0, 1)
        if (height, width) == (self._height, self._width):
            return torch.from_numpy(np.ascontiguousarray(upright))
        whole = torch.zeros(len(upright), self._height, self._width, dtype=torch.uint8)
        whole[:, :height, :width] = torch.from_numpy(np.ascontiguousarray(upright))
        return whole

    def _fitted(self, height: int, width: int) -> tuple[int, int]:
        if not self._keep_aspect:
            return self._height, self._width
        scale = min(Fraction(self._height, height), Fraction(self._width, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


class PictureAspects:
    """Embed the key frames of the running shot.

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
        self._batchers: dict[PictureInput, list[ShotBatcher]] = defaultdict(list)
        for extractor in extractors:
            if isinstance(extractor.input, PictureInput):
                self._batchers[extractor.input].append(ShotBatcher(extractor, batch))
        self._resizers = {
            spec: Resizer(spec.height, spec.width, keep_aspect=spec.keep_aspect)
            for spec in self._batchers
        }
        self._key_frames = key_frames

    def push(self, picture: Picture) -> None:
        """Take the next frame in presentation order."""
        if self._batchers:
            self._key_frames.push(picture)

    def advance(self, start: Fraction, until: Fraction) -> None:
        """Embed what the shot that began at ``start`` shows before ``until``."""
        self._embed(self._key_frames.take(start, until))

    def close(self, start: Fraction, end: Fraction) -> dict[str, NDArray[np.float32]]:
        """Return tokens ``(tokens, dim)`` of the shot ``[start, end)`` by aspect."""
        self._embed(self._key_frames.close(start, end))
        self._count = 0
        return flush_all([batcher for batchers in self._batchers.values() for batcher in batchers])

    def _embed(self, chosen: list[Picture]) -> None:
        for picture in chosen:
            for spec, batchers in self._batchers.items():
                wanted = [
                    batcher
                    for batcher in batchers
                    if self._thinner.takes(batcher.extractor.aspect, "seen", self._count)
                ]
                if wanted:
                    piece = self._resizers[spec](picture)
                    for batcher in wanted:
                        batcher.add(piece)
            self._count += 1


class ClipAspects:
    """Embed the clips of the running shot.

    Args:
        extractors: Those of kind ``clip``.
        thinner: Says what is left out.
        batch: Clips embedded together.
    """

    def __init__(self, extractors: Iterable[Extractor], thinner: Thinner, *, batch: int) -> None:
        self._thinner = thinner
        self._batchers: dict[ClipInput, list[ShotBatcher]] = defaultdict(list)
        for extractor in extractors:
            if isinstance(extractor.input, ClipInput):
                self._batchers[extractor.input].append(ShotBatcher(extractor, batch))
        self._clips = {spec: ClipCutter(spec) for spec in self._batchers}
        self._counts = dict.fromkeys(self._batchers, 0)

    def push(self, picture: Picture) -> None:
        """Take the next frame in presentation order."""
        for spec, cutter in self._clips.items():
            if all(
                self._thinner.drops(batcher.extractor.aspect) for batcher in self._batchers[spec]
            ):
                # Making frames small is most of the cost.
                cutter.forget()
            else:
                cutter.push(picture)

    def advance(self, until: Fraction) -> None:
        """Embed the whole clips that the running shot has before ``until``."""
        for spec, cutter in self._clips.items():
            self._embed(spec, cutter.take(until))

    def close(self, end: Fraction) -> dict[str, NDArray[np.float32]]:
        """Return tokens ``(tokens, dim)`` of the shot that ends at ``end``, by aspect."""
        for spec, cutter in self._clips.items():
            self._embed(spec, cutter.close(end))
            self._counts[spec] = 0
        return flush_all([batcher for batchers in self._batchers.values() for batcher in batchers])

    def _embed(self, spec: ClipInput, pieces: Iterable[torch.Tensor]) -> None:
        for piece in pieces:
            for batcher in self._batchers[spec]:
                if self._thinner.takes(batcher.extractor.aspect, "seen", self._counts[spec]):
                    batcher.add(piece)
            self._counts[spec] += 1


class ClipCutter:
    """Cut a stream's frames into clips of one kind; holds small frames only.

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
        """Hold a frame until it is known which shot it belongs to."""
        now = picture.start.seconds
        if self._pushed is not None and 0 <= now - self._pushed < self._spec.interval:
            return
        self._pushed = now
        self._held.append((now, self._resize(picture)))

    def forget(self) -> None:
        """Drop what is held: the next frame begins a clip."""
        self._held.clear()
        self._run.clear()
        self._fresh = 0

    def take(self, until: Fraction) -> Iterator[torch.Tensor]:
        """Return the whole clips before ``until``, uint8 ``(frames, 1, height, width)`` each."""
        while self._held and self._held[0][0] < until:
            self._run.append(self._held.popleft()[1])
            self._fresh += 1
            if self._fresh == self._spec.frames:
                yield self._clip()
                # The last frame begins the next clip, so that no step is lost.
                self._fresh = 1

    def close(self, end: Fraction) -> Iterator[torch.Tensor]:
        """Return the clips still to be cut from the shot that ends at ``end``.

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
