"""Find cuts, fades and dissolves by comparing thumbnails of frames."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from streamer.shots.base import MAX_DELAY, ShotBuilder, Step
from streamer.shots.signature import is_flat, lit, unlikeness
from streamer.timeline import Shot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streamer.shots.base import ShotOptions
    from streamer.shots.signature import Signature
    from streamer.timeline import ShotEnd, Timestamp


STEP_SECONDS = 1 / 12
_SPANS = (5, 8, 12, 18, 27)
# Chosen on 32 minutes of composed films. On 12 more: 57 of 61 dissolves and fades found, and 4
# found where there was none; the same photographs were in both.
_OFF_LINE = 0.36
_DIP = 0.72
_JUMP = 0.45
_SETTLED = 0.6
_FADED = 0.1
_GONE = 0.05
_HALFWAY = 0.75


class GradualDetector:
    """Look for spans in which the frame slid along a line from one content to another.

    A dissolve is the only common change in which every frame on the way is a mixture of the
    first and the last: moving things and cameras leave that line. Where contents that have
    little in common are mixed, the contrast dips below that of both; a change of light or
    exposure leaves it in between. Spans from 0.4 to 2.25 s are tried on a history of one
    frame each twelfth of a second.

    Args:
        threshold: How unlike the ends of a span must be, in [0, 1].
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._signatures: deque[Signature] = deque(maxlen=_SPANS[-1] + 1)
        self._vectors: deque[NDArray[np.float32]] = deque(maxlen=_SPANS[-1] + 1)
        self._next = float("-inf")

    def reset(self) -> None:
        """Forget the past: what comes belongs to another shot."""
        self._signatures.clear()
        self._vectors.clear()
        self._next = float("-inf")

    @property
    def history(self) -> tuple[float, tuple[Signature, ...]]:
        """When the next frame is looked at, and those kept; `resume` takes them."""
        return self._next, tuple(self._signatures)

    def resume(self, after: float, kept: Iterable[Signature]) -> None:
        """Resume from the history of another detector."""
        self.reset()
        self._next = after
        for signature in kept:
            self._keep(signature)

    def push(self, seconds: float, signature: Signature) -> bool:
        """Look at the next frame.

        Args:
            seconds: Its time; only used to thin the history, so rounding does no harm.
            signature: Its numbers.

        Returns:
            Whether a dissolve has just ended.
        """
        # A millisecond of grace: container rounding must not turn 12 frames a second into 6.
        if seconds < self._next - 1e-3:
            return False
        self._next = max(self._next + STEP_SECONDS, seconds + STEP_SECONDS / 2)
        self._keep(signature)
        return any(self._slid(span) for span in _SPANS if span < len(self._vectors))

    def _keep(self, signature: Signature) -> None:
        self._signatures.append(signature)
        self._vectors.append(np.concatenate((signature.luma.ravel(), signature.chroma.ravel())))

    def _slid(self, span: int) -> bool:
        pictures = [self._signatures[k] for k in range(-1 - span, 0)]
        if unlikeness(pictures[0], pictures[-1]) < self._threshold:
            return False
        luma = np.stack([p.luma for p in pictures])
        power = luma[:, lit(luma[0], luma[-1])].var(axis=1)
        least = min(power[0], power[-1])
        if least < _FADED * max(power[0], power[-1]):
            # One end is nearly flat: half of a fade, whose one cut comes at its other half.
            return False
        gone = np.flatnonzero(power < _GONE * least)
        if gone.size:
            # A fade comes and goes by degrees; a flash or a blank does not.
            return bool(max(power[gone[0] - 1], power[gone[-1] + 1]) < _HALFWAY * least)
        return self._is_mixture(np.stack([self._vectors[k] for k in range(-1 - span, 0)]), power)

    def _is_mixture(self, path: NDArray[np.float32], power: NDArray[np.float32]) -> bool:
        path = path - path[0]
        line = path[-1]
        length = float(line @ line)
        shares = path @ line / length
        steps = np.diff(shares)
        if steps.max() > _JUMP or steps[-1] > _SETTLED * steps.max():
            return False
        away = path - shares[:, None] * line
        if math.sqrt(float((away * away).sum(axis=1).mean()) / length) > _OFF_LINE:
            return False
        between = power[0] * (1 - shares) + power[-1] * shares
        return bool((power / np.maximum(between, 1.0)).min() < _DIP)


# Frames before the one in question that are kept; more would not change a decision.
_BEFORE = 8
_RATIO = 5.5
_CALM = 0.005
_RETURNED = 0.6
_FLASH = 3
_FADE_SECONDS = Fraction(1, 8)
_BLACK_SECONDS = Fraction(1)


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """A frame as the splitter remembers it.

    Attributes:
        start: When it is shown.
        signature: Its numbers.
        change: How unlike the one before it is.
        flat: It is of one colour.
    """

    start: Timestamp
    signature: Signature
    change: float
    flat: bool


@dataclass(frozen=True, slots=True)
class SplitterState:
    """What a splitter remembers when a shot has just closed; bounded.

    Attributes:
        index: Of the running shot.
        start: Its first frame; everything later is to be pushed again.
        last_cut: The latest real cut, or the beginning.
        flat_since: When the frames became flat, None when they are not.
        past: The latest frames decided, the first one of the running shot last.
        gradual_next: When the search for dissolves looks at a frame again.
        gradual_kept: Its history.
    """

    index: int
    start: Timestamp
    last_cut: Timestamp
    flat_since: Timestamp | None
    past: tuple[SeenPicture, ...]
    gradual_next: float
    gradual_kept: tuple[Signature, ...]


class ShotSplitter:
    """Find hard cuts, dissolves and fades with a fixed delay, in bounded memory.

    The frame ``latency_frames`` ago is decided with each new one, and so is every frame that
    lies more than `MAX_DELAY` before it:

    - a *hard cut* is a change that stands out from the changes around it and after which the
      old content does not come back at once (a flash);
    - a *dissolve* is one cut, placed where it has ended (:mod:`streamer.shots.thumbnails`);
    - a *fade* through black or white is one cut, placed where the new content appears;
    - a shot that has lasted ``max_seconds`` is closed as ``forced`` at the next frame.

    No real cut comes within ``min_seconds`` of another or of the beginning.

    Args:
        options: Thresholds.
        frame_rate: Frames a second, None when unknown; above 25 the delay in frames grows
            so that it stays the same in seconds.
    """

    def __init__(self, options: ShotOptions, frame_rate: Fraction | None = None) -> None:
        self._options = options
        self._shortest = Fraction(options.min_seconds).limit_denominator(10**6)
        self._longest = Fraction(options.max_seconds).limit_denominator(10**6)
        faster = max(1.0, min(4.8, float(frame_rate or 0) / 25))
        self._latency = round(options.latency_frames * faster)
        self._gradual = GradualDetector(options.gradual_threshold)
        self._pending: deque[SeenPicture] = deque()
        self._past: deque[SeenPicture] = deque(maxlen=max(_BEFORE, self._latency))
        self._shots = ShotBuilder()
        self._last_cut: Timestamp | None = None
        self._flat_since: Timestamp | None = None
        self._behind_shot: SplitterState | None = None

    @property
    def latency_frames(self) -> int:
        """Frames that are looked at after a cut before it is decided, at most."""
        return self._latency

    def state(self) -> SplitterState:
        """Return what another splitter needs to continue after the shot that closed last."""
        assert self._behind_shot is not None
        return self._behind_shot

    def resume(self, state: SplitterState) -> None:
        """Resume from a state; the next frame is the first one after ``state.start``."""
        self._shots.index, self._shots.start, self._last_cut = (
            state.index,
            state.start,
            state.last_cut,
        )
        self._flat_since = state.flat_since
        self._pending.clear()
        self._past.clear()
        self._past.extend(state.past)
        self._gradual.resume(state.gradual_next, state.gradual_kept)

    @property
    def begun(self) -> bool:
        """Whether a frame has come."""
        return self._shots.start is not None

    def push(self, start: Timestamp, signature: Signature | None) -> Step:
        """Take the next frame.

        Args:
            start: When it is shown; later than all before.
            signature: Its numbers; None for one that is damaged, and counts as the one before
                shown again. The first has to have some.

        Returns:
            Shots that closed, and the time before which no cut can come any more.

        Raises:
            ValueError: The frame is not later than the one before.
        """
        newest = self._pending[-1] if self._pending else self._past[-1] if self._past else None
        change = 0.0
        if newest is not None:
            if start <= newest.start:
                raise ValueError(f"frame at {start.seconds} s is not after the last")
            change = 0.0 if signature is None else unlikeness(newest.signature, signature)
            signature = newest.signature if signature is None else signature
        if signature is None:
            raise ValueError("the first frame has no signature")
        if self._shots.start is None:
            self._shots.start = self._last_cut = start
        self._pending.append(SeenPicture(start, signature, change, is_flat(signature)))
        closed: list[Shot] = []
        while len(self._pending) > self._latency or self._is_late(self._pending[0]):
            closed += self._decide()
        return Step(tuple(closed), self._pending[0].start)

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input.

        Args:
            end: When the last frame ends.

        Returns:
            The remaining shots; empty when no frame came.

        Raises:
            ValueError: The end lies before the last frame.
        """
        if self._shots.start is None:
            return ()
        newest = self._pending[-1] if self._pending else self._past[-1]
        if end < newest.start:
            raise ValueError(f"the end at {end.seconds} s is before the last frame")
        closed: list[Shot] = []
        while self._pending:
            closed += self._decide()
        closed.append(self._shots.close(end, "end"))
        return tuple(closed)

    def _decide(self) -> tuple[Shot, ...]:
        seen = self._pending.popleft()
        kind = self._kind(seen) if self._past else None
        self._note_flat(seen)
        self._past.append(seen)
        if kind is None:
            return ()
        if kind != "forced":
            self._last_cut = seen.start
            self._gradual.reset()
        shot = self._shots.close(seen.start, kind)
        self._behind_shot = self._now()
        return (shot,)

    def _now(self) -> SplitterState:
        assert self._shots.start is not None
        assert self._last_cut is not None
        after, kept = self._gradual.history
        return SplitterState(
            index=self._shots.index,
            start=self._shots.start,
            last_cut=self._last_cut,
            flat_since=self._flat_since,
            past=tuple(self._past),
            gradual_next=after,
            gradual_kept=kept,
        )

    def _is_late(self, seen: SeenPicture) -> bool:
        if not self._pending:
            return False
        return self._pending[-1].start.seconds - seen.start.seconds > MAX_DELAY

    def _kind(self, seen: SeenPicture) -> ShotEnd | None:
        dissolved = self._gradual.push(float(seen.start.seconds), seen.signature)
        assert self._last_cut is not None
        since_cut = seen.start.seconds - self._last_cut.seconds
        if since_cut >= self._shortest:
            if self._is_hard(seen):
                return "cut"
            if self._ends_fade(seen, since_cut) or (dissolved and not seen.flat):
                return "gradual"
        over = self._shots.lasted(seen.start) >= self._longest
        return "forced" if over else None

    def _is_hard(self, seen: SeenPicture) -> bool:
        if seen.change < self._options.hard_threshold:
            return False
        if len(self._pending) < min(_FLASH, self._latency) and not self._is_late(seen):
            # The input ends here: a flash would look like a cut.
            return False
        around = [p.change for p in self._past][-self._latency :]
        around += [p.change for p in self._pending][: self._latency]
        # The largest neighbour is left out: it may be the other end of a flash.
        calm = sorted(around)[:-1]
        level = sum(calm) / len(calm) if calm else 0.0
        if seen.change < _RATIO * (level + _CALM):
            return False
        return not self._comes_back(seen)

    def _comes_back(self, seen: SeenPicture) -> bool:
        before = [p.signature for p in self._past][-self._latency :]
        after = [seen.signature, *(p.signature for p in self._pending)]
        nearest = min(unlikeness(a, b) for a in before for b in after)
        return nearest < _RETURNED * seen.change

    def _note_flat(self, seen: SeenPicture) -> None:
        if not seen.flat:
            self._flat_since = None
        elif self._flat_since is None:
            self._flat_since = seen.start

    def _ends_fade(self, seen: SeenPicture, since_cut: Fraction) -> bool:
        since = self._flat_since
        if since is None or seen.flat or seen.start.seconds - since.seconds < _FADE_SECONDS:
            return False
        # After a cut to black the way out of it is no second cut, unless the black was a shot.
        return since_cut >= _BLACK_SECONDS
