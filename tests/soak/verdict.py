"""What came out, held against what went in."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.soak.programme import RATE

FRAME = 1 / RATE
EDGE = 1.0
"""Seconds before the end of a connection in which a cut may not be decided any more."""


@dataclass
class Verdict:
    """Counts over all streams.

    Attributes:
        connections: By how they ended.
        faults: Within connections.
        media: Seconds sent.
        cuts: Sent, those at the very end of a connection aside.
        found: Of these, seen within one frame.
        missed: The others: stream, epoch and time.
        invented: Shots that begin where nothing did: stream, epoch and time.
        forced: Shots closed for their length.
        shots: Events.
        boundaries: Events.
        across: Boundaries across a gap.
        due: Boundaries that had to come: every shot's end but the last and forced ones.
        epochs: Seen.
        delivering: Stretches of media without a gap, which is how many epochs there had to be.
        discontinuities: By reason.
        repeated: Events whose id came twice.
    """

    connections: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    media: float = 0.0
    cuts: int = 0
    found: int = 0
    missed: list[tuple[str, int, float]] = field(default_factory=list)
    invented: list[tuple[str, int, float]] = field(default_factory=list)
    forced: int = 0
    shots: int = 0
    boundaries: int = 0
    across: int = 0
    due: int = 0
    epochs: int = 0
    delivering: int = 0
    discontinuities: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    @property
    def clean(self) -> bool:
        """Nothing was lost, invented or doubled."""
        return (
            not self.missed
            and not self.invented
            and not self.repeated
            and self.boundaries == self.due
            and self.epochs == self.delivering
            and sum(self.discontinuities.values()) == self.across
        )


@dataclass(frozen=True)
class _Stretch:
    """Media of one connection without a gap."""

    start: float
    end: float
    connection: dict[str, Any]

    @property
    def cuts(self) -> list[float]:
        """Seconds from its first picture."""
        every = self.connection["cuts"]
        return [cut - self.start for cut in every if self.start < cut < self.end]


def judge(sent: list[dict[str, Any]], events: list[dict[str, Any]]) -> Verdict:
    """Compares connections with events.

    Args:
        sent: Every connection, as the sender told it.
        events: Every event, in the order in which it came.
    """
    verdict = Verdict()
    shots: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        data, kind = event["data"], event["type"].rsplit(".", 2)[-2]
        if kind == "shot":
            shots[data["stream"], data["epoch"]].append(data)
        elif kind == "boundary":
            verdict.boundaries += 1
            verdict.across += data["across_gap"]
        elif kind == "discontinuity":
            verdict.discontinuities[data["reason"]] += 1
    verdict.repeated = len(events) - len({event["id"] for event in events})
    verdict.shots = sum(map(len, shots.values()))
    verdict.epochs = len(shots)
    delivered: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for connection in sorted(sent, key=lambda each: (each["stream"], each["number"])):
        verdict.connections[connection["ended"]] += 1
        verdict.faults.update(connection["faults"])
        verdict.media += connection["media"]
        if connection["media"]:
            delivered[connection["stream"]].append(connection)
    for stream, connections in delivered.items():
        stretches = [
            _Stretch(float(start), float(end), connection)
            for connection in connections
            for start, end in connection["stretches"]
        ]
        verdict.delivering += len(stretches)
        every = [shot for epoch in range(len(stretches)) for shot in shots[stream, epoch]]
        forced = sum(shot["ended_by"] == "forced" for shot in every)
        verdict.forced += forced
        verdict.due += max(0, len(every) - 1 - forced)
        for epoch, stretch in enumerate(stretches):
            _compare(verdict, stream, epoch, stretch, shots[stream, epoch])
    return verdict


def _compare(
    verdict: Verdict,
    stream: str,
    epoch: int,
    stretch: _Stretch,
    shots: list[dict[str, Any]],
) -> None:
    starts = [shot["seconds"] for shot in shots[1:]]
    before = [shot["ended_by"] for shot in shots[:-1]]
    real = [at for at, ended in zip(starts, before, strict=True) if ended != "forced"]
    # Where a clock is set anew, sound and picture may end some hundredths of a second apart.
    near = FRAME * 1.01 + 0.05 * stretch.connection["faults"].count("jump")
    for cut in stretch.cuts:
        if cut > stretch.end - stretch.start - EDGE:
            continue
        verdict.cuts += 1
        if any(abs(at - cut) <= near for at in real):
            verdict.found += 1
        else:
            verdict.missed.append((stream, epoch, round(cut, 3)))
    for at in real:
        if not any(abs(at - cut) <= near for cut in stretch.cuts):
            verdict.invented.append((stream, epoch, round(at, 3)))
