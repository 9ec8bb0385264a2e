"""`streamer compare`: true scene times beside those found."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.given import frame_rate as given_rate
from streamer.errors import DatasetError
from streamer.lines import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Found:
    """A reported boundary.

    Attributes:
        seconds: Since the start of the stream.
        score: The mixture's probability.
    """

    seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class Row:
    """A true boundary, a reported one, or both.

    Attributes:
        true: Seconds since the start of the stream, None for a false alarm.
        found: None for a miss.
    """

    true: float | None
    found: Found | None


def match(true: Sequence[float], found: Sequence[Found], tolerance: float) -> list[Row]:
    """Pairs every true boundary with at most one reported one, nearest pairs first.

    Args:
        true: Seconds.
        found: In any order.
        tolerance: Seconds that a pair may lie apart.

    Returns:
        One row a pair, a miss or a false alarm, in the order of time.
    """
    pairs = sorted(
        (abs(one.seconds - when), i, j)
        for i, when in enumerate(true)
        for j, one in enumerate(found)
        if abs(one.seconds - when) <= tolerance
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in pairs:
        if i not in partner and j not in taken:
            partner[i] = j
            taken.add(j)
    rows = [Row(when, found[partner[i]] if i in partner else None) for i, when in enumerate(true)]
    rows += [Row(None, one) for j, one in enumerate(found) if j not in taken]
    return sorted(rows, key=_when)


def read_events(lines: Iterable[str], name: str) -> list[Found]:
    """Reads the boundary events among JSON lines.

    Args:
        lines: As `streamer tail` prints them.
        name: Of the input, for errors.

    Raises:
        DatasetError: A line is not an event.
    """
    from streamer.events.cloudevent import TYPES

    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            if event["type"] == TYPES["boundary"]:
                data = event["data"]
                found.append(Found(float(data["seconds"]), float(data["score"])))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DatasetError(f"{name}: line {number} is not an event: {error!r}") from error
    return found


def compare(
    events: Annotated[Path, typer.Argument(help="Output of `streamer tail`; - for stdin.")],
    scenes: Annotated[Path, typer.Argument(help="True scenes, in any form that extract reads.")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Seconds that a pair may lie apart.")
    ] = 3.0,
    shots: Annotated[
        Path | None, typer.Option(metavar="FILE", help="MovieNet's shot file beside a label file.")
    ] = None,
    frame_rate: Annotated[
        str | None, typer.Option(metavar="N[/D]", help="For frame numbers and timecodes.")
    ] = None,
) -> None:
    """Prints true scene boundaries beside those found."""
    from rich.console import Console
    from rich.table import Table

    from streamer.models.dataset.annotations import read_boundaries

    rate = None if frame_rate is None else given_rate(frame_rate, "--frame-rate")
    true = [float(at) for at in read_boundaries(scenes, frame_rate=rate, shots=shots)]
    if str(events) == "-":
        if sys.stdin is None:
            raise DatasetError("standard input is closed")
        found = read_events(sys.stdin, "standard input")
    else:
        try:
            with events.open(encoding="utf-8") as file:
                found = read_events(file, str(events))
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{events}: cannot be read: {reason(error)}") from error
    rows = match(true, found, tolerance)

    table = Table(title="Scene boundaries", title_justify="left")
    for heading in ("true", "found", "Δ", "score"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        table.add_row(*_cells(row))
    hits = sum(row.true is not None and row.found is not None for row in rows)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{hits} of {len(true)} true boundaries found, "
        f"{len(found) - hits} false alarms (pairs within {tolerance:g} s)"
    )


def _when(row: Row) -> float:
    if row.true is not None:
        return row.true
    return row.found.seconds if row.found is not None else math.inf


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    true = "" if row.true is None else f"{row.true:.3f}"
    if row.found is None:
        return true, "", "", "", "missed"
    found, score = f"{row.found.seconds:.3f}", f"{row.found.score:.2f}"
    if row.true is None:
        return "", found, "", score, "false alarm"
    return true, found, f"{row.found.seconds - row.true:+.3f}", score, "found"
