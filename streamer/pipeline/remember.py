"""Save and load what a scene tracker remembers, so that another process can continue."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.errors import StateError
from streamer.events.payload import GapReason, Wallclock
from streamer.pipeline.epoch import Epoch, MissingInput
from streamer.pipeline.scenes import KnownShot, OpenEpoch, OpenScene, TrackerState
from streamer.timeline import Shot, ShotEnd
from streamer.wire import Ratio, WireInstant, in_words, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_KNOWN: Final = 64
"""Shots that await a decision; more than any look-ahead asks for."""

Count = Annotated[int, Field(ge=0, le=1 << 53)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Gap(_Model):
    reason: GapReason
    lost_from: float | None
    attempts: Count
    detail: str
    missing: float | None = None


class _Epoch(_Model):
    base: Ratio
    number: Count
    start: WireInstant
    frame_rate: Ratio | None
    networks: dict[str, str]
    wallclock: float | None
    arrival: float | None
    gap: _Gap | None


class _Known(_Model):
    epoch: Count
    index: Count
    start: WireInstant
    end: WireInstant
    ended_by: ShotEnd
    observed: tuple[str, ...]
    wallclock: Wallclock


class _Scene(_Model):
    index: Count
    first: _Known
    continues: bool


class _State(_Model):
    pushed: Count
    read: Ratio
    epochs: Annotated[tuple[_Epoch, ...], Field(max_length=2 * MAX_KNOWN)]
    known: Annotated[tuple[_Known, ...], Field(max_length=MAX_KNOWN)]
    scene: _Scene | None
    current: Count | None


def dump(state: TrackerState) -> str:
    """Write a tracker's state; its size does not depend on the length of the stream."""
    shots = list(state.known) + ([state.scene.first] if state.scene is not None else [])
    epochs = {shot.within.epoch.number: shot.within for shot in shots}
    if state.current is not None:
        epochs[state.current.epoch.number] = state.current
    return _State(
        pushed=state.pushed,
        read=ratio(state.read),
        epochs=tuple(_dump_epoch(epochs[number]) for number in sorted(epochs)),
        known=tuple(_dump_shot(shot) for shot in state.known),
        scene=None
        if state.scene is None
        else _Scene(
            index=state.scene.index,
            first=_dump_shot(state.scene.first),
            continues=state.scene.continues,
        ),
        current=None if state.current is None else state.current.epoch.number,
    ).model_dump_json()


def load(text: str) -> TrackerState:
    """Read what `dump` wrote.

    Raises:
        StateError: The text is not such a state.
    """
    try:
        saved = _State.model_validate_json(text)
        epochs = {epoch.number: _load_epoch(epoch) for epoch in saved.epochs}
        if len(saved.known) > saved.pushed:
            raise ValueError("more shots are known than were taken")
        return TrackerState(
            pushed=saved.pushed,
            known=tuple(_load_shot(shot, epochs) for shot in saved.known),
            scene=None
            if saved.scene is None
            else OpenScene(
                saved.scene.index, _load_shot(saved.scene.first, epochs), saved.scene.continues
            ),
            current=None if saved.current is None else epochs[saved.current],
            read=Fraction(saved.read),
        )
    except (ValidationError, ValueError, KeyError) as error:
        reason = in_words(error.errors()[0]) if isinstance(error, ValidationError) else str(error)
        raise StateError(f"the saved stream state is unusable: {reason}") from error


def dump_epoch(epoch: Epoch) -> str:
    """Write an epoch on its own."""
    return _dump_epoch(OpenEpoch(epoch, Fraction(0))).model_dump_json()


def load_epoch(text: str) -> Epoch:
    """Read what `dump_epoch` wrote.

    Raises:
        StateError: The text is not an epoch.
    """
    try:
        return _load_epoch(_Epoch.model_validate_json(text)).epoch
    except (ValidationError, ValueError) as error:
        raise StateError("the saved epoch is unusable") from error


def _dump_epoch(within: OpenEpoch) -> _Epoch:
    epoch = within.epoch
    gap = epoch.gap
    return _Epoch(
        base=ratio(within.base),
        number=epoch.number,
        start=WireInstant.of(epoch.start),
        frame_rate=None if epoch.frame_rate is None else ratio(epoch.frame_rate),
        networks=dict(epoch.networks),
        wallclock=epoch.wallclock,
        arrival=epoch.arrival,
        gap=None
        if gap is None
        else _Gap(
            reason=gap.reason,
            lost_from=gap.lost_from,
            attempts=gap.attempts,
            detail=gap.detail,
            missing=gap.missing,
        ),
    )


def _load_epoch(saved: _Epoch) -> OpenEpoch:
    gap = saved.gap
    epoch = Epoch(
        number=saved.number,
        start=saved.start.instant(),
        frame_rate=None if saved.frame_rate is None else Fraction(saved.frame_rate),
        networks=saved.networks,
        wallclock=saved.wallclock,
        arrival=saved.arrival,
        gap=None
        if gap is None
        else MissingInput(gap.reason, gap.lost_from, gap.attempts, gap.detail, gap.missing),
    )
    return OpenEpoch(epoch, Fraction(saved.base))


def _dump_shot(known: KnownShot) -> _Known:
    return _Known(
        epoch=known.within.epoch.number,
        index=known.shot.index,
        start=WireInstant.of(known.shot.start),
        end=WireInstant.of(known.shot.end),
        ended_by=known.shot.ended_by,
        observed=tuple(sorted(known.observed)),
        wallclock=known.wallclock,
    )


def _load_shot(saved: _Known, epochs: Mapping[int, OpenEpoch]) -> KnownShot:
    shot = Shot(saved.index, saved.start.instant(), saved.end.instant(), saved.ended_by)
    return KnownShot(epochs[saved.epoch], shot, frozenset(saved.observed), saved.wallclock)
