"""``streamer consume``: events of a Kafka topic as JSON lines, each once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.connectors.kafka.reader import EventReader, Record
    from streamer.connectors.sinks.sink import Sink

BATCH = 500
"""Most events between two commits."""

REMEMBERED = 100_000
"""Ids by which repeats are known; older ones are forgotten."""

_WAIT = 0.2


def consume(
    from_: Annotated[
        str, typer.Option("--from", metavar="URL", help="kafka://HOST:PORT/TOPIC, or kafkas://….")
    ],
    group: Annotated[
        str | None,
        typer.Option(metavar="G", help="Share the topic and go on where the group was."),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, metavar="N", help="End after so many events.")
    ] = None,
    idle_timeout: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="SECONDS", help="End after so long without an event."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No warnings, no summary.")] = False,
) -> int:
    """Print the events of a Kafka topic, one JSON object a line.

    Events that come again are dropped by id, records that are no valid events are reported and
    skipped. With --group, offsets are committed after the events were printed: a consumer that
    is killed prints some of them again, and none is lost. Without, everything is read from the
    beginning.

    Examples:

      streamer consume --from kafka://localhost:9092/scenes.boundaries

      streamer consume --from kafka://localhost:9092/scenes.boundaries --group chapters
    """
    from contextlib import closing

    from streamer.cli.errors import INTERRUPTED
    from streamer.cli.interrupt import Interruption
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
    """Prints each event once."""

    def __init__(self, sink: Sink, warn: Callable[[str], None]) -> None:
        from collections import OrderedDict

        self._sink, self._warn = sink, warn
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.printed = self._repeats = self._invalid = 0
        self.stopped = False

    def stop(self) -> None:
        """Ends after the current batch."""
        self.stopped = True

    @property
    def summary(self) -> str:
        return f"{self.printed} events, {self._repeats} repeats, {self._invalid} invalid records"

    def take(self, record: Record) -> None:
        """Prints, drops or reports a record."""
        import json

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
        if len(self._seen) > REMEMBERED:
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

    heard = time.monotonic()
    while not printer.stopped and (most is None or printer.printed < most):
        room = BATCH if most is None else min(BATCH, most - printer.printed)
        wait = _WAIT if idle_timeout is None else min(_WAIT, idle_timeout)
        records = reader.batch(room, wait)
        for record in records:
            printer.take(record)
        reader.commit()
        if records:
            heard = time.monotonic()
        elif idle_timeout is not None and time.monotonic() - heard >= idle_timeout:
            return
