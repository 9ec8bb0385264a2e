"""What the decisions mean: boundaries, scenes and shots as event payloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from streamer.events.payload import (
    AspectUse,
    BoundaryData,
    ExpertVoice,
    Latency,
    ModelRef,
    Position,
    SceneData,
    SceneSpan,
    ShotData,
    Wallclock,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from streamer.segment.decision import Decision
    from streamer.timeline import EmbeddedShot, Instant, Shot


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """What every event of one stream and epoch has in common.

    Attributes:
        stream: Name.
        epoch: Counts reconnections.
        start: First instant of the first shot.
        frame_rate: Pictures a second, None for sound-only input.
        networks: Aspect slot → network that fills it.
        model: The checkpoint that decides.
    """

    stream: str
    epoch: int
    start: Instant
    frame_rate: Fraction | None
    networks: Mapping[str, str]
    model: ModelRef


@dataclass(frozen=True, slots=True)
class _Known:
    """A shot that still awaits the decision about its end."""

    shot: Shot
    observed: frozenset[str]
    wallclock: Wallclock


@dataclass(frozen=True, slots=True)
class _Scene:
    """The scene under way."""

    index: int
    first_shot: int
    start: Instant
    wallclock: Wallclock


class SceneTracker:
    """Follows shots and decisions of one epoch and says what happened.

    A boundary is never reported at a forced close: there the picture did not change.

    Args:
        identity: What all events share.
        threshold: Scores from here on are boundaries, 0 to 1.
    """

    def __init__(self, identity: StreamIdentity, threshold: float) -> None:
        self._identity = identity
        self._threshold = threshold
        self._known: dict[int, _Known] = {}
        self._scene: _Scene | None = None
        self._last: Shot | None = None
        self._read = identity.start.seconds

    def shot(
        self, embedded: EmbeddedShot, wallclock: float | None, arrival: float | None
    ) -> ShotData:
        """Takes the next closed shot.

        Args:
            embedded: The shot.
            wallclock: Its first picture's, as the source says.
            arrival: Its first picture's.
        """
        shot = embedded.shot
        clock = Wallclock.of(wallclock, arrival)
        observed = frozenset(embedded.tokens)
        self._known[shot.index] = _Known(shot, observed, clock)
        self._last = shot
        self._read = embedded.closed_at
        if self._scene is None:
            self._scene = _Scene(0, shot.index, shot.start, clock)
        latency = self._latency(shot.end, embedded.compute_seconds)
        end = self._position(shot.end)
        return ShotData(
            **dict(self._position(shot.start)),
            stream=self._identity.stream,
            epoch=self._identity.epoch,
            shot_index=shot.index,
            end_pts=end.pts,
            end_time_base=end.time_base,
            end_seconds=end.seconds,
            end_timecode=end.timecode,
            wallclock=clock,
            ended_by=shot.ended_by,
            aspects=self._aspects(observed),
            latency_seconds=latency.media_seconds + latency.compute_seconds,
            latency=latency,
        )

    def decide(
        self, decision: Decision, compute_seconds: float
    ) -> tuple[BoundaryData, SceneData] | None:
        """Takes the decision about the end of a shot; decisions come in order.

        Args:
            decision: The mixture's.
            compute_seconds: Wall time since the input it waited for had been read.

        Returns:
            The boundary and the scene it ends, or None when the scene goes on.
        """
        before = self._known.pop(decision.boundary_index)
        after = self._known[decision.boundary_index + 1]
        if decision.score < self._threshold or before.shot.ended_by == "forced":
            return None
        scene = self._close(before.shot, "boundary")
        self._scene = _Scene(
            scene.scene.index + 1, after.shot.index, after.shot.start, after.wallclock
        )
        latency = self._latency(after.shot.start, compute_seconds)
        boundary = BoundaryData(
            **dict(self._position(after.shot.start)),
            stream=self._identity.stream,
            epoch=self._identity.epoch,
            boundary_index=decision.boundary_index,
            shot_index=after.shot.index,
            wallclock=after.wallclock,
            score=decision.score,
            threshold=self._threshold,
            experts=tuple(
                ExpertVoice(
                    name=vote.name,
                    weight=vote.weight,
                    probability=None if vote.absent else vote.probability,
                    absent=vote.absent,
                )
                for vote in decision.experts
            ),
            aspects=self._aspects(before.observed | after.observed),
            lookahead_shots=decision.lookahead_shots,
            latency_seconds=latency.media_seconds + latency.compute_seconds,
            latency=latency,
            scene=scene.scene,
            model=self._identity.model,
        )
        return boundary, scene

    def finish(self) -> SceneData | None:
        """The scene that the end of the input ends; None when there was no shot."""
        if self._scene is None or self._last is None:
            return None
        scene, self._scene = self._close(self._last, "end"), None
        return scene

    def _close(self, last: Shot, ended_by: Literal["boundary", "end"]) -> SceneData:
        assert self._scene is not None
        start, end = self._position(self._scene.start), self._position(last.end)
        return SceneData(
            **dict(start),
            stream=self._identity.stream,
            epoch=self._identity.epoch,
            scene=SceneSpan(
                index=self._scene.index,
                start=start.seconds,
                end=end.seconds,
                shots=last.index - self._scene.first_shot + 1,
                first_shot=self._scene.first_shot,
            ),
            end_pts=end.pts,
            end_time_base=end.time_base,
            end_timecode=end.timecode,
            wallclock=self._scene.wallclock,
            ended_by=ended_by,
            model=self._identity.model,
        )

    def _position(self, at: Instant) -> Position:
        return Position.of(at, self._identity.start, self._identity.frame_rate)

    def _latency(self, at: Instant, compute_seconds: float) -> Latency:
        media = max(0.0, float(self._read - at.seconds))
        return Latency(media_seconds=media, compute_seconds=compute_seconds)

    def _aspects(self, observed: frozenset[str]) -> dict[str, AspectUse]:
        return {
            slot: AspectUse(network=network, absent=slot not in observed)
            for slot, network in self._identity.networks.items()
        }
