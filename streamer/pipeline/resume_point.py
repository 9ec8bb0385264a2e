"""Where the shots of an interrupted epoch can be taken up again, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.aspects.track import SoundPlace
from streamer.errors import StateError
from streamer.shots.fixed import WindowState
from streamer.shots.signature import CHROMA_COLUMNS, CHROMA_ROWS, COLUMNS, ROWS, Signature
from streamer.shots.thumbnails import SeenPicture, SplitterState
from streamer.timeline import Timestamp
from streamer.wire import Ratio, WireInstant, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MAX_PICTURES = 256
"""More than any splitter remembers."""

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The state of the splitter after a closed shot.

    Attributes:
        start: First instant of the epoch.
        windows: Windows of audio before the first frame.
        splitter: Of frames, or of windows of audio.
        sound: Of a block of audio that comes again.
    """

    start: Timestamp
    windows: int
    splitter: SplitterState | WindowState
    sound: SoundPlace | None = None

    @property
    def at(self) -> Timestamp:
        """Where the running shot began: input from here on has to come again."""
        return self.splitter.start


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Seen(_Model):
    start: WireInstant
    change: float
    flat: bool


class _Pictures(_Model):
    index: Count
    start: WireInstant
    last_cut: WireInstant
    flat_since: WireInstant | None
    past: Annotated[tuple[_Seen, ...], Field(max_length=MAX_PICTURES)]
    gradual_next: float | None


class _Windows(_Model):
    origin: WireInstant
    start: WireInstant
    count: Count
    index: Count


class _Sound(_Model):
    block: Ratio
    anchor: Ratio
    before: Count

    @classmethod
    def of(cls, place: SoundPlace | None) -> Self | None:
        if place is None:
            return None
        return cls(block=ratio(place.block), anchor=ratio(place.anchor), before=place.before)

    def place(self) -> SoundPlace:
        return SoundPlace(Fraction(self.block), Fraction(self.anchor), self.before)


class _Mark(_Model):
    start: WireInstant
    windows: Count
    splitter: _Pictures | _Windows
    sound: _Sound | None = None


def dump(mark: ResumePoint) -> tuple[str, dict[str, NDArray[np.float32]]]:
    """Write a mark as JSON and arrays of bounded size."""
    state = mark.splitter
    saved: _Pictures | _Windows
    arrays: dict[str, NDArray[np.float32]] = {}
    if isinstance(state, WindowState):
        saved = _Windows(
            origin=WireInstant.of(state.origin),
            start=WireInstant.of(state.start),
            count=state.count,
            index=state.index,
        )
    else:
        saved = _Pictures(
            index=state.index,
            start=WireInstant.of(state.start),
            last_cut=WireInstant.of(state.last_cut),
            flat_since=None if state.flat_since is None else WireInstant.of(state.flat_since),
            past=tuple(
                _Seen(start=WireInstant.of(seen.start), change=seen.change, flat=seen.flat)
                for seen in state.past
            ),
            gradual_next=state.gradual_next if math.isfinite(state.gradual_next) else None,
        )
        arrays = _stack("past", [seen.signature for seen in state.past])
        arrays |= _stack("gradual", state.gradual_kept)
    sound = _Sound.of(mark.sound)
    whole = _Mark(
        start=WireInstant.of(mark.start), windows=mark.windows, splitter=saved, sound=sound
    )
    return whole.model_dump_json(), arrays


def load(text: str, arrays: Mapping[str, NDArray[np.generic]]) -> ResumePoint:
    """Read what `dump` wrote.

    Raises:
        StateError: It is not such a state.
    """
    try:
        saved = _Mark.model_validate_json(text)
        sound = None if saved.sound is None else saved.sound.place()
        splitter = _state(saved.splitter, arrays)
        return ResumePoint(saved.start.instant(), saved.windows, splitter, sound)
    except (ValidationError, ValueError, KeyError) as error:
        raise StateError("the saved place in the input is unusable") from error


def _state(
    saved: _Pictures | _Windows, arrays: Mapping[str, NDArray[np.generic]]
) -> SplitterState | WindowState:
    if isinstance(saved, _Windows):
        return WindowState(saved.origin.instant(), saved.start.instant(), saved.count, saved.index)
    signatures = _unstack("past", arrays)
    return SplitterState(
        index=saved.index,
        start=saved.start.instant(),
        last_cut=saved.last_cut.instant(),
        flat_since=None if saved.flat_since is None else saved.flat_since.instant(),
        past=tuple(
            SeenPicture(seen.start.instant(), signature, seen.change, seen.flat)
            for seen, signature in zip(saved.past, signatures, strict=True)
        ),
        gradual_next=-math.inf if saved.gradual_next is None else saved.gradual_next,
        gradual_kept=tuple(_unstack("gradual", arrays)),
    )


def _stack(name: str, signatures: Sequence[Signature]) -> dict[str, NDArray[np.float32]]:
    if not signatures:
        return {}
    return {
        f"{name}.luma": np.stack([signature.luma for signature in signatures]),
        f"{name}.chroma": np.stack([signature.chroma for signature in signatures]),
    }


def _unstack(name: str, arrays: Mapping[str, NDArray[np.generic]]) -> list[Signature]:
    if f"{name}.luma" not in arrays:
        return []
    luma, chroma = arrays[f"{name}.luma"], arrays[f"{name}.chroma"]
    count = len(luma)
    if (
        count > MAX_PICTURES
        or luma.shape != (count, ROWS, COLUMNS)
        or chroma.shape != (count, 2, CHROMA_ROWS, CHROMA_COLUMNS)
    ):
        raise ValueError("signatures of another shape")
    return [
        Signature(one.astype(np.float32), two.astype(np.float32))
        for one, two in zip(luma, chroma, strict=True)
    ]
