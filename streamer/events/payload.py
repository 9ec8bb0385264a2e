"""Define the events of a stream: boundaries, shots, scenes and gaps.

Each is a frozen dataclass, checked when it is made; its fields are the ``data`` of the CloudEvent.
The shipped JSON Schemas allow properties they do not name, so that a later minor version may add
one, while the classes here refuse them. A field is never removed, renamed or given another type or
unit within ``v1``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from streamer.events.ids import EventKind
from streamer.events.timecode import timecode
from streamer.timeline import ShotEnd, Timestamp

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0.0)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Rational = Annotated[str, Field(pattern=r"^[1-9][0-9]*/[1-9][0-9]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]


EventT = TypeVar("EventT", bound="EventData")
_CONFIG: Final = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Position:
    """A point on the stream's clock.

    Attributes:
        pts: Ticks on the stream's own clock, as the container has them.
        time_base: Seconds a tick, ``num/den``.
        seconds: Seconds since the start of the stream, nearest double of the exact value.
        timecode: The same as a timecode; see `streamer.events.timecode`.
        at: The exact position, as a `Timestamp`.
    """

    pts: Annotated[int, Field(description="ticks on the stream's own clock")]
    time_base: Annotated[Rational, Field(description="seconds a tick, as num/den")]
    seconds: Annotated[Seconds, Field(description="seconds since the start of the stream")]
    timecode: Annotated[
        str, Field(description="HH:MM:SS:FF, HH:MM:SS;FF (drop-frame) or HH:MM:SS.mmm")
    ]

    @classmethod
    def of(cls, position: Timestamp, start: Timestamp, frame_rate: Fraction | None) -> Self:
        """Describes an instant relative to the stream's start.

        Args:
            position: Where.
            start: The stream's first instant; not after ``position``.
            frame_rate: Pictures a second, None for sound-only input.

        Raises:
            ValueError: The position lies before the start.
        """
        relative = position.seconds - start.seconds
        base = position.time_base
        return cls(
            pts=position.pts,
            time_base=f"{base.numerator}/{base.denominator}",
            seconds=float(relative),
            timecode=timecode(relative, frame_rate),
        )

    @property
    def at(self) -> Timestamp:
        """The exact position on the stream's own clock."""
        return Timestamp(self.pts, Fraction(self.time_base))

    def to_json(self) -> dict[str, Any]:
        """Turn an event into plain JSON values, the ``data`` of its CloudEvent."""
        values: dict[str, Any] = _ADAPTERS[type(self)].dump_python(self, mode="json")
        return values


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Wallclock:
    """When the position happened in the world, and who says so.

    Attributes:
        time: Date and time with offset, or None.
        origin: ``source`` when the container or protocol carries it, ``arrival`` when the data
            was seen to arrive, ``none`` for files.
    """

    time: AwareDatetime | None = None
    origin: Literal["source", "arrival", "none"] = "none"

    @classmethod
    def of(cls, source: float | None, arrival: float | None) -> Self:
        """Prefers the source's clock to the arrival time.

        Args:
            source: Seconds since the Unix epoch, None when the source has no clock.
            arrival: Seconds since the Unix epoch, None when it means nothing (files).
        """
        if source is not None:
            return cls(time=datetime.fromtimestamp(source, UTC), origin="source")
        if arrival is not None:
            return cls(time=datetime.fromtimestamp(arrival, UTC), origin="arrival")
        return cls()


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class ExpertVote:
    """What one expert said and how far it was listened to (the paper's Figure 2, live).

    Attributes:
        name: Row of the paper's Table II, e.g. ``HLSS_PANNs`` or ``MME_place_speaker``.
        weight: The mixer's weight after masking and renormalisation; the weights sum to one.
        probability: The expert's own boundary probability; None when it was absent.
        absent: The expert lacked its aspect at this boundary; its weight is zero.
    """

    name: Name
    weight: Unit
    probability: Unit | None
    absent: bool


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class AspectUse:
    """Which network filled an aspect slot, and whether it had anything to say.

    Attributes:
        network: Honest name of the network, e.g. ``yamnet`` in slot ``vggish``.
        absent: Nothing was observed in either of the two shots at the boundary (or in the shot).
    """

    network: Name
    absent: bool


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Latency:
    """Why the event did not come at once.

    Attributes:
        media_seconds: Media time between the position and the newest input the decision needed.
        compute_seconds: Wall time spent after that input had been read.
    """

    media_seconds: Seconds
    compute_seconds: Seconds


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class SceneSpan:
    """The scene that just ended.

    Attributes:
        epoch: Whose clock its times are on.
        index: 0-based within the epoch.
        start: Seconds since the start of the stream.
        end: Seconds since the start of the stream.
        shots: Number of shots, forced closes counted as the pieces they made.
        first_shot: Index of its first shot.
    """

    epoch: Count
    index: Count
    start: Seconds
    end: Seconds
    shots: Annotated[int, Field(ge=1)]
    first_shot: Count


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class ModelRef:
    """The checkpoint that decided.

    Attributes:
        name: Its name, e.g. ``MOAE_A``.
        sha256: Of the checkpoint file, 64 lower-case hex digits.
    """

    name: Name
    sha256: Sha256


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Boundary(Position):
    """One scene ends and the next begins. The position is the first picture of the new scene.

    Attributes:
        stream: The stream's name.
        epoch: 0 for files and pipes; a live stream counts it up at each reconnection.
        boundary_index: Index of the shot boundary: the boundary after shot ``boundary_index``;
            -1 for the one before the first shot of an epoch, across a gap.
        shot_index: Index of the first shot of the new scene.
        across_gap: Input is missing between the two scenes: the old one ended in an epoch before.
        wallclock: When the new scene began in the world.
        score: The mixture's boundary probability.
        threshold: What the score had to reach.
        experts: Every expert of the model, in the model's order.
        aspects: Slot → the network that fills it.
        lookahead_shots: Shots after the boundary that had closed when it was decided.
        latency_seconds: ``media_seconds + compute_seconds``.
        latency: Its two parts.
        scene: The scene that just ended.
        model: The checkpoint that decided.
    """

    kind: ClassVar[EventKind] = "boundary"

    stream: Name
    epoch: Count
    boundary_index: Annotated[int, Field(ge=-1)]
    shot_index: Count
    across_gap: bool
    wallclock: Wallclock
    score: Unit
    threshold: Unit
    experts: tuple[ExpertVote, ...]
    aspects: dict[str, AspectUse]
    lookahead_shots: Count
    latency_seconds: Seconds
    latency: Latency
    scene: SceneSpan
    model: ModelRef


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Shot(Position):
    """A shot was closed. The position is its first picture.

    Attributes:
        stream: The stream's name.
        epoch: 0 for files and pipes; a live stream counts it up at each reconnection.
        shot_index: 0-based within the epoch.
        end_pts: First tick after the shot, in ticks of ``end_time_base``.
        end_time_base: Seconds a tick, ``num/den``.
        end_seconds: Seconds since the start of the stream.
        end_timecode: The same as a timecode.
        wallclock: When the shot began in the world.
        ended_by: ``cut``, ``gradual``, ``forced`` (maximum length), ``window`` (fixed window of
            sound-only input), ``gap`` (input is missing after it) or ``end``.
        aspects: Slot → the network that fills it.
        latency_seconds: ``media_seconds + compute_seconds``.
        latency: Its two parts.
    """

    kind: ClassVar[EventKind] = "shot"

    stream: Name
    epoch: Count
    shot_index: Count
    end_pts: int
    end_time_base: Rational
    end_seconds: Seconds
    end_timecode: str
    wallclock: Wallclock
    ended_by: ShotEnd
    aspects: dict[str, AspectUse]
    latency_seconds: Seconds
    latency: Latency

    @property
    def end(self) -> Timestamp:
        """The exact end on the stream's own clock."""
        return Timestamp(self.end_pts, Fraction(self.end_time_base))


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Scene(Position):
    """A scene is complete. The position is its first picture.

    Attributes:
        stream: The stream's name.
        epoch: 0 for files and pipes; a live stream counts it up at each reconnection.
        scene: Where it lies.
        end_pts: First tick after the scene, in ticks of ``end_time_base``.
        end_time_base: Seconds a tick, ``num/den``.
        end_timecode: The end as a timecode.
        wallclock: When the scene began in the world.
        ended_by: ``boundary``, ``gap`` (it goes on behind missing input, in the next epoch) or
            ``end`` (of the input).
        continues: It goes on a scene of the epoch before, behind missing input.
        model: The checkpoint that decided.
    """

    kind: ClassVar[EventKind] = "scene"

    stream: Name
    epoch: Count
    scene: SceneSpan
    end_pts: int
    end_time_base: Rational
    end_timecode: str
    wallclock: Wallclock
    ended_by: Literal["boundary", "gap", "end"]
    continues: bool
    model: ModelRef

    @property
    def end(self) -> Timestamp:
        """The exact end on the stream's own clock."""
        return Timestamp(self.end_pts, Fraction(self.end_time_base))


GapReason = Literal["stalled", "closed", "unreachable", "damaged", "jump", "rotated", "restart"]


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Gap(Position):
    """Input is missing, and a new epoch begins. The position is the new epoch's first picture.

    Attributes:
        stream: The stream's name.
        epoch: The new one.
        wallclock: When the new epoch began in the world.
        previous_epoch: The one before.
        previous_seconds: Where that one ended, seconds since its start; None when nothing of it
            was seen.
        lost_from: When the last input before the gap came; None when that is not known.
        missing_seconds: From ``lost_from`` to ``wallclock``, None when one of them is not known;
            for ``jump`` the media that is missing.
        reason: ``stalled`` (nothing came for too long), ``closed`` (the sender left),
            ``unreachable``, ``damaged`` (what came was no media), ``jump`` (its timestamps
            stepped forward: media is missing), ``rotated`` (the file was replaced) or
            ``restart`` (of this program).
        attempts: Connections tried until it went on.
        detail: One line for people, without credentials.
    """

    kind: ClassVar[EventKind] = "discontinuity"

    stream: Name
    epoch: Count
    wallclock: Wallclock
    previous_epoch: Count
    previous_seconds: Seconds | None
    lost_from: Wallclock
    missing_seconds: Seconds | None
    reason: GapReason
    attempts: Count
    detail: Annotated[str, Field(max_length=500)]


EventData = Boundary | Shot | Scene | Gap
_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {
    kind: TypeAdapter(kind) for kind in (Boundary, Shot, Scene, Gap)
}


def to_json(event: EventData) -> dict[str, Any]:
    """Turn an event into plain JSON values, the ``data`` of its CloudEvent."""
    values: dict[str, Any] = _ADAPTERS[type(event)].dump_python(event, mode="json")
    return values


def from_json(kind: type[EventT], values: object) -> EventT:
    """Check plain JSON values and make an event of them.

    Raises:
        pydantic.ValidationError: They are not such an event.
    """
    event: EventT = _ADAPTERS[kind].validate_python(values)
    return event


def json_schema(kind: type[EventData]) -> dict[str, Any]:
    """Describe the JSON form of an event as a JSON Schema that names every property."""
    return _ADAPTERS[kind].json_schema(mode="serialization")
