"""One valid payload of each kind."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction

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
    Shot,
    Wallclock,
)
from streamer.timeline import Timestamp

START = Timestamp(900_000, Fraction(1, 90_000))
PLACE = Timestamp(2_700_000, Fraction(1, 90_000))
RATE = Fraction(25)
MODEL = ModelRef(name="MOAE_A", sha256="ab" * 32)
SPAN = SceneSpan(epoch=0, index=0, start=0.0, end=20.0, shots=4, first_shot=0)


def boundary(stream: str = "film", epoch: int = 0, position: Timestamp = PLACE) -> Boundary:
    return Boundary(
        **asdict(Position.of(position, START, RATE)),
        stream=stream,
        epoch=epoch,
        boundary_index=3,
        shot_index=4,
        across_gap=False,
        wallclock=Wallclock.of(None, 1_700_000_000.25),
        score=0.75,
        threshold=0.5,
        experts=(
            ExpertVote(name="HLSS_VGGish", weight=1.0, probability=0.75, absent=False),
            ExpertVote(name="HLSS_speaker", weight=0.0, probability=None, absent=True),
        ),
        aspects={
            "place": AspectUse(network="efficientnet-lite0", absent=False),
            "speaker": AspectUse(network="ge2e", absent=True),
        },
        lookahead_shots=2,
        latency_seconds=6.5,
        latency=Latency(media_seconds=6.25, compute_seconds=0.25),
        scene=SPAN,
        model=MODEL,
    )


def shot() -> Shot:
    return Shot(
        **asdict(Position.of(START, START, RATE)),
        stream="film",
        epoch=0,
        shot_index=0,
        end_pts=PLACE.pts,
        end_time_base="1/90000",
        end_seconds=20.0,
        end_timecode="00:00:20:00",
        wallclock=Wallclock(),
        ended_by="cut",
        aspects={"place": AspectUse(network="efficientnet-lite0", absent=False)},
        latency_seconds=0.5,
        latency=Latency(media_seconds=0.25, compute_seconds=0.25),
    )


def scene() -> Scene:
    return Scene(
        **asdict(Position.of(START, START, None)),
        stream="film",
        epoch=0,
        scene=SPAN,
        end_pts=PLACE.pts,
        end_time_base="1/90000",
        end_timecode="00:00:20.000",
        wallclock=Wallclock.of(0.0, 5.0),
        ended_by="boundary",
        continues=False,
        model=MODEL,
    )


def discontinuity() -> Gap:
    return Gap(
        **asdict(Position.of(START, START, RATE)),
        stream="film",
        epoch=1,
        wallclock=Wallclock.of(None, 1_700_000_012.0),
        previous_epoch=0,
        previous_seconds=20.0,
        lost_from=Wallclock.of(None, 1_700_000_000.0),
        missing_seconds=12.0,
        reason="stalled",
        attempts=3,
        detail="nothing came for 10 s",
    )
