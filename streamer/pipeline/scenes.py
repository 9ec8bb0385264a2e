"""What the decisions mean: boundaries, scenes, shots and gaps as event payloads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from streamer.events.payload import (
    AspectUse,
    Boundary,
    ExpertVote,
    Gap,
    Latency,
    ModelRef,
    Position,
    Scene,
    SceneSpan,
    Wallclock,
)
from streamer.events.payload import (
    Shot as ShotEvent,
)

if TYPE_CHECKING:
    from streamer.pipeline.epoch import Epoch
    from streamer.timeline import EmbeddedShot, Shot, Timestamp
    from streamer.window.scorer import Decision


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    """An epoch that shots or decisions still refer to.

    Attributes:
        epoch: Which.
        base: Seconds of media in all epochs before it; gaps do not count.
    """

    epoch: Epoch
    base: Fraction

    def elapsed(self, at: Fraction) -> Fraction:
        """Return the media seconds since the stream began, at ``at`` seconds of its clock."""
        return self.base + at - self.epoch.start.seconds


@dataclass(frozen=True, slots=True)
class KnownShot:
    """A shot that still awaits the decision about its end."""

    within: OpenEpoch
    shot: Shot
    observed: frozenset[str]
    wallclock: Wallclock


@dataclass(frozen=True, slots=True)
class OpenScene:
    """The scene under way."""

    index: int
    first: KnownShot
    continues: bool


@dataclass(slots=True)
class TrackerState:
    """Everything a tracker remembers; bounded by the look-ahead.

    Attributes:
        pushed: Shots taken since the beginning of the stream, over all epochs.
        known: Shots whose end is not decided, and the one after; oldest first, the last of them
            number ``pushed - 1``.
        scene: The scene under way.
        current: The epoch of the next shot.
        read: Media seconds read since the beginning of the stream.
    """

    pushed: int = 0
    known: tuple[KnownShot, ...] = ()
    scene: OpenScene | None = None
    current: OpenEpoch | None = None
    read: Fraction = Fraction(0)


def shot_event(
    stream: str, within: OpenEpoch, embedded: EmbeddedShot, wallclock: Wallclock, read: Fraction
) -> ShotEvent:
    """Describe a closed shot.

    Args:
        stream: Name in events.
        within: Its epoch.
        embedded: The shot.
        wallclock: Of its first frame.
        read: Media seconds read since the beginning of the stream.
    """
    shot = embedded.shot
    latency = _latency(within, shot.end, embedded.compute_seconds, read)
    end = _position(within, shot.end)
    return ShotEvent(
        **asdict(_position(within, shot.start)),
        stream=stream,
        epoch=within.epoch.number,
        shot_index=shot.index,
        end_pts=end.pts,
        end_time_base=end.time_base,
        end_seconds=end.seconds,
        end_timecode=end.timecode,
        wallclock=wallclock,
        ended_by=shot.ended_by,
        aspects=_aspects(within, frozenset(embedded.tokens)),
        latency_seconds=latency.media_seconds + latency.compute_seconds,
        latency=latency,
    )


def _position(within: OpenEpoch, at: Timestamp) -> Position:
    return Position.of(at, within.epoch.start, within.epoch.frame_rate)


def _latency(within: OpenEpoch, at: Timestamp, compute_seconds: float, read: Fraction) -> Latency:
    media = max(0.0, float(read - within.elapsed(at.seconds)))
    return Latency(media_seconds=media, compute_seconds=compute_seconds)


def _aspects(within: OpenEpoch, observed: frozenset[str]) -> dict[str, AspectUse]:
    return {
        slot: AspectUse(network=network, absent=slot not in observed)
        for slot, network in within.epoch.networks.items()
    }


class SceneTracker:
    """Follow shots and decisions of one stream and return the events that follow.

    A boundary is never reported at a forced close: there the frame did not change. A scene's
    times lie on one clock, so a gap closes it; whether it continues after the gap is decided like
    every other boundary, once the shots after it are there.

    Args:
        stream: Name in events.
        model: The checkpoint that decides.
        threshold: Scores from here on are boundaries, 0 to 1.
    """

    def __init__(self, stream: str, model: ModelRef, threshold: float) -> None:
        self._stream, self._model, self._threshold = stream, model, threshold
        self.state = TrackerState()

    def begin(self, epoch: Epoch) -> Gap | None:
        """Start an epoch; the shots that follow are numbered within it.

        Returns:
            The gap event before it, None when there was none.

        Raises:
            ValueError: It is not later than the one before.
        """
        state, before = self.state, self.state.current
        if before is not None and epoch.number <= before.epoch.number:
            raise ValueError(f"epoch {epoch.number} came after epoch {before.epoch.number}")
        last = state.known[-1] if state.known else None
        base = Fraction(0) if last is None else last.within.elapsed(last.shot.end.seconds)
        state.current = OpenEpoch(epoch, base)
        state.read = max(state.read, base)
        return None if epoch.gap is None else self._discontinuity(epoch, last)

    def shot(
        self, embedded: EmbeddedShot, wallclock: float | None, arrival: float | None
    ) -> ShotEvent:
        """Take the next closed shot of the current epoch.

        Args:
            embedded: The shot.
            wallclock: Its first frame's, as the source reports.
            arrival: Its first frame's.

        Raises:
            ValueError: No epoch has begun, or the shot is not the next one.
        """
        state, within = self.state, self.state.current
        shot = embedded.shot
        if within is None:
            raise ValueError("a shot came before its epoch")
        last = state.known[-1] if state.known else None
        same = last is not None and last.within.epoch.number == within.epoch.number
        if last is not None and same and shot.index != last.shot.index + 1:
            raise ValueError(f"shot {shot.index} came after shot {last.shot.index}")
        clock = Wallclock.of(wallclock, arrival)
        known = KnownShot(within, shot, frozenset(embedded.tokens), clock)
        state.known = (*state.known, known)
        state.pushed += 1
        state.read = max(state.read, within.elapsed(embedded.closed_at))
        if state.scene is None:
            state.scene = OpenScene(0, known, continues=False)
        return shot_event(self._stream, within, embedded, clock, state.read)

    def decide(
        self, decision: Decision, compute_seconds: float
    ) -> tuple[Boundary | None, Scene | None]:
        """Take the decision about the end of a shot; decisions come in order.

        Args:
            decision: The mixture's; its index counts shots over all epochs.
            compute_seconds: Wall time since the input it waited for had been read.

        Returns:
            The boundary, if there is one, and the scene that ends there: at a boundary, or where
            input is missing.
        """
        state = self.state
        at = decision.boundary_index - (state.pushed - len(state.known))
        before, after = state.known[at], state.known[at + 1]
        state.known = state.known[at + 1 :]
        gap = before.within.epoch.number != after.within.epoch.number
        found = decision.score >= self._threshold and before.shot.ended_by != "forced"
        if not (found or gap):
            return None, None
        scene = self._close(before.shot, "boundary" if found else "gap")
        index = 0 if gap else scene.scene.index + 1
        state.scene = OpenScene(index, after, continues=not found)
        if not found:
            return None, scene
        latency = _latency(after.within, after.shot.start, compute_seconds, state.read)
        boundary = Boundary(
            **asdict(_position(after.within, after.shot.start)),
            stream=self._stream,
            epoch=after.within.epoch.number,
            boundary_index=after.shot.index - 1,
            shot_index=after.shot.index,
            across_gap=gap,
            wallclock=after.wallclock,
            score=decision.score,
            threshold=self._threshold,
            experts=tuple(
                ExpertVote(
                    name=vote.name,
                    weight=vote.weight,
                    probability=None if vote.absent else vote.probability,
                    absent=vote.absent,
                )
                for vote in decision.experts
            ),
            aspects=_aspects(after.within, before.observed | after.observed),
            lookahead_shots=decision.lookahead_shots,
            latency_seconds=latency.media_seconds + latency.compute_seconds,
            latency=latency,
            scene=scene.scene,
            model=self._model,
        )
        return boundary, scene

    def finish(self) -> Scene | None:
        """Return the scene that the end of the input ends; None when there was no shot."""
        if self.state.scene is None or not self.state.known:
            return None
        scene, self.state.scene = self._close(self.state.known[-1].shot, "end"), None
        return scene

    def _close(self, last: Shot, ended_by: Literal["boundary", "gap", "end"]) -> Scene:
        open_scene = self.state.scene
        assert open_scene is not None
        first, within = open_scene.first, open_scene.first.within
        start, end = _position(within, first.shot.start), _position(within, last.end)
        return Scene(
            **asdict(start),
            stream=self._stream,
            epoch=within.epoch.number,
            scene=SceneSpan(
                epoch=within.epoch.number,
                index=open_scene.index,
                start=start.seconds,
                end=end.seconds,
                shots=last.index - first.shot.index + 1,
                first_shot=first.shot.index,
            ),
            end_pts=end.pts,
            end_time_base=end.time_base,
            end_timecode=end.timecode,
            wallclock=first.wallclock,
            ended_by=ended_by,
            continues=open_scene.continues,
            model=self._model,
        )

    def _discontinuity(self, epoch: Epoch, last: KnownShot | None) -> Gap:
        gap = epoch.gap
        assert gap is not None
        back = epoch.arrival if epoch.arrival is not None else epoch.wallclock
        missing, ended = gap.missing, None
        if missing is None and gap.lost_from is not None and back is not None:
            missing = max(0.0, back - gap.lost_from)
        if last is not None:
            ended = float(last.shot.end.seconds - last.within.epoch.start.seconds)
        return Gap(
            **asdict(Position.of(epoch.start, epoch.start, epoch.frame_rate)),
            stream=self._stream,
            epoch=epoch.number,
            wallclock=Wallclock.of(epoch.wallclock, epoch.arrival),
            previous_epoch=max(0, epoch.number - 1) if last is None else last.within.epoch.number,
            previous_seconds=ended,
            lost_from=Wallclock.of(None, gap.lost_from),
            missing_seconds=missing,
            reason=gap.reason,
            attempts=gap.attempts,
            detail=gap.detail[:500],
        )
