"""Read events: ``streamer consume`` from Kafka, ``streamer compare`` with true scenes."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamer.cli._arguments import ConfigOption, FrameRateOption, parse_frame_rate
from streamer.errors import DatasetError
from streamer.lines import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streamer.connectors.kafka.reader import EventReader, Record
    from streamer.connectors.sinks.sink import Sink

BATCH: Final = 500
"""Largest number of events between two commits."""

_REMEMBERED: Final = 100_000
"""Number of recent ids that repeats are detected by."""

_POLL_SECONDS: Final = 0.2


def consume(
    from_: Annotated[
        str, typer.Option("--from", metavar="URL", help="kafka://HOST:PORT/TOPIC, or kafkas://….")
    ],
    group: Annotated[
        str | None,
        typer.Option(metavar="G", help="Share the topic, and continue where the group stopped."),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, metavar="N", help="End after so many events.")
    ] = None,
    idle_timeout: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="SECONDS", help="End after so long without an event."),
    ] = None,
    config: ConfigOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No warnings, no summary.")] = False,
) -> int:
    """Print the events of a Kafka topic, one JSON object a line.

    Repeated events are dropped by id; records that are not valid events are reported and skipped.
    With --group, offsets are committed after the events were printed: a consumer that is killed
    prints some of them again, and none is lost. Without, everything is read from the beginning.

    Examples:

      streamer consume --from kafka://localhost:9092/scenes.boundaries

      streamer consume --from kafka://localhost:9092/scenes.boundaries --group chapters
    """
    from contextlib import closing

    from streamer.cli._output import INTERRUPTED
    from streamer.cli._signals import Interruption
    from streamer.config.load import load_settings
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.connectors.kafka.reader import EventReader
    from streamer.connectors.sinks.registry import open_sink
    from streamer.lines import report

    def warn(message: str) -> None:
        if not quiet:
            report(message, label="warning", style="bold yellow")

    section = load_settings(config).kafka
    address = KafkaAddress.parse(from_)
    interruption = Interruption()
    printer = _Printer(open_sink("-"), warn)
    try:
        with interruption.handled(), closing(EventReader(address, section, group, warn)) as reader:
            reader.open()
            interruption.stops(printer.stop)
            _loop(reader, printer, most, idle_timeout)
    except KeyboardInterrupt:
        if not interruption.received:
            raise
    if not quiet:
        report(printer.summary, label=str(address), style="bold")
    return INTERRUPTED if interruption.received else 0


class _Printer:
    """Print each event once."""

    def __init__(self, sink: Sink, warn: Callable[[str], None]) -> None:
        from collections import OrderedDict

        self._sink, self._warn = sink, warn
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.printed = self._repeats = self._invalid = 0
        self.stopped = False

    def stop(self) -> None:
        """End after the current batch."""
        self.stopped = True

    @property
    def summary(self) -> str:
        return f"{self.printed} events, {self._repeats} repeats, {self._invalid} invalid records"

    def take(self, record: Record) -> None:
        """Print, drop or report a record."""
        from streamer.events.cloudevent import to_line
        from streamer.events.validate import problems

        event, wrong = record.event, record.problem
        if event is not None:
            if self._known(event.get_id()):
                self._repeats += 1
                return
            found = problems(json.loads(to_line(event)))
            wrong = found[0] if found else None
        if event is None or wrong is not None:
            self._invalid += 1
            self._warn(f"partition {record.partition} offset {record.offset}: skipped: {wrong}")
            return
        self._sink.add(event)
        self._seen[event.get_id()] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self.printed += 1

    def _known(self, identity: str) -> bool:
        if identity not in self._seen:
            return False
        self._seen.move_to_end(identity)
        return True


def _loop(
    reader: EventReader, printer: _Printer, most: int | None, idle_timeout: float | None
) -> None:
    import time

    last_record = time.monotonic()
    while not printer.stopped and (most is None or printer.printed < most):
        room = BATCH if most is None else min(BATCH, most - printer.printed)
        wait = _POLL_SECONDS if idle_timeout is None else min(_POLL_SECONDS, idle_timeout)
        records = reader.batch(room, wait)
        for record in records:
            printer.take(record)
        reader.commit()
        if records:
            last_record = time.monotonic()
        elif idle_timeout is not None and time.monotonic() - last_record >= idle_timeout:
            return


@dataclass(frozen=True, slots=True)
class Found:
    """Hold a reported boundary.

    Attributes:
        seconds: Since the start of the stream.
        score: The mixture's probability.
    """

    seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class Row:
    """Hold a true boundary, a reported one, or both.

    Attributes:
        true: Seconds since the start of the stream, None for a false alarm.
        found: None for a miss.
    """

    true: float | None
    found: Found | None


def match(true: Sequence[float], found: Sequence[Found], tolerance: float) -> list[Row]:
    """Pair every true boundary with at most one reported one, nearest pairs first.

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
    """Read the boundary events among JSON lines.

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
        Path | None, typer.Option(metavar="FILE", help="MovieNet's shot file for a label file.")
    ] = None,
    frame_rate: FrameRateOption = None,
) -> None:
    """Print true scene boundaries next to those found."""
    from rich.console import Console
    from rich.table import Table

    from streamer.models.dataset.annotations import read_boundaries

    rate = None if frame_rate is None else parse_frame_rate(frame_rate, "--frame-rate")
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
