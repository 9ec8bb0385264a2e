"""What the process that reads streams tells its worker, a JSON line each."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Self, cast

from pydantic import BaseModel, ConfigDict

from streamer.events.payload import GapReason
from streamer.pipeline.progress import Fault, Progress

if TYPE_CHECKING:
    from streamer.pipeline.progress import Stage


class Numbers(BaseModel):
    """How far a stream is; see `streamer.pipeline.progress.Progress`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: float
    shots: int
    lag: float
    epoch: int
    drift: float
    spent: dict[str, float]
    thinning: int
    skipped: dict[str, int]
    faults: dict[Fault, int]
    lost_sound: float

    @classmethod
    def of(cls, progress: Progress) -> Self:
        """As plain values."""
        return cls(
            position=float(progress.position),
            shots=progress.shots,
            lag=progress.lag,
            epoch=progress.epoch,
            drift=progress.drift,
            spent={str(stage): seconds for stage, seconds in progress.spent.items()},
            thinning=progress.thinning,
            skipped=dict(progress.skipped),
            faults=dict(progress.faults),
            lost_sound=progress.lost_sound,
        )

    def progress(self) -> Progress:
        """Back again; scenes and boundaries are not known where streams are read."""
        return Progress(
            position=Fraction(self.position),
            shots=self.shots,
            lag=self.lag,
            epoch=self.epoch,
            drift=self.drift,
            spent=cast("dict[Stage, float]", self.spent),
            thinning=self.thinning,
            skipped=self.skipped,
            faults=self.faults,
            lost_sound=self.lost_sound,
        )


class ReaderMessage(BaseModel):
    """Something that happened to a stream.

    Attributes:
        stream: Whose.
        opened: Its input is open.
        progress: How far it is, once a second.
        lost: Why its input went away, in one word.
        warnings: Lines for people, without credentials.
        ended: It is over: 0, or the exit code of `error`.
        error: Why it ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    opened: bool = False
    progress: Numbers | None = None
    lost: GapReason | None = None
    warnings: tuple[str, ...] = ()
    ended: int | None = None
    error: str = ""
