"""``streamer probe``: what an input holds, and whether it can be segmented."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamer.cli.given import given

if TYPE_CHECKING:
    from streamer.config.settings import Settings
    from streamer.decode.decoder import Decoder
    from streamer.timeline import Picture, Sound


def probe(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="What `streamer tail` takes.", callback=given),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")
    ] = None,
) -> int:
    """Show an input's streams, codecs, rates, start time and wall clock.

    The first frames are decoded, so that what is said is what segmenting would meet. An input
    that cannot be segmented is said so and gives the exit code that `streamer tail` would give.

    Examples:

      streamer probe film.mkv

      streamer probe rtsp://camera.local/stream --json
    """
    from streamer.cli.errors import handle
    from streamer.config.load import load_settings
    from streamer.errors import SourceError

    settings = load_settings(config)
    try:
        found = examine(source, settings)
    except SourceError as error:
        if as_json:
            _print({"segmentable": "no", "error": str(error), "exit_code": error.exit_code})
            return error.exit_code
        return handle(error, debug=context.obj is not None and context.obj.debug)
    if as_json:
        _print(found)
    else:
        _table(found)
    return 0


def examine(location: str, settings: Settings) -> dict[str, Any]:
    """Opens an input and decodes up to the first picture and the first sound.

    Args:
        location: As `streamer tail` takes it.
        settings: Deadlines and limits.

    Returns:
        What was found, as JSON values: times in seconds, ``segmentable`` is ``picture and
        sound``, ``picture`` or ``sound``.

    Raises:
        SourceError: It cannot be segmented.
    """
    from dataclasses import asdict

    from streamer.connectors.sources.registry import open_source
    from streamer.decode.decoder import Decoder
    from streamer.decode.streams import DecodeOptions

    opened = open_source(location, settings.source)
    with Decoder(opened, settings.decode.to(DecodeOptions)) as decoder:
        info = decoder.info
        first, picture = _first(decoder)
        parts = [
            name
            for name, there in (("picture", info.has_picture), ("sound", info.has_sound))
            if there
        ]
        return {
            "source": opened.name,
            "live": decoder.live,
            "container": info.container,
            "duration": None if info.duration is None else float(info.duration),
            "start": None if first is None else float(first.start.seconds),
            "time_base": None if first is None else str(first.start.time_base),
            "wall_clock": _clock(picture),
            "segmentable": " and ".join(parts),
            "streams": [asdict(stream) for stream in decoder.streams],
            "warnings": list(decoder.warnings),
        }


PATIENCE = 4.0
"""Most seconds to decode until picture, sound and a live source's own clock have been seen."""


def _first(decoder: Decoder) -> tuple[Picture | Sound | None, Picture | None]:
    """The first frame, and the first picture whose real time the source says."""
    from streamer.timeline import Picture

    first: Picture | Sound | None = None
    shown: Picture | None = None
    heard = False
    deadline = time.monotonic() + PATIENCE
    for item in decoder:
        first = first or item
        if isinstance(item, Picture):
            # A live source may say it only with a later picture.
            shown = item if shown is None or shown.wallclock is None else shown
        else:
            heard = True
        waiting = shown is not None and shown.wallclock is None and decoder.live
        seen = shown is not None or not decoder.info.has_picture
        if (seen and (heard or not decoder.info.has_sound) and not waiting) or (
            time.monotonic() > deadline
        ):
            break
    return first, shown


def _clock(picture: Picture | None) -> dict[str, str] | None:
    from datetime import UTC, datetime

    if picture is None:
        return None
    seconds = picture.wallclock if picture.wallclock is not None else picture.arrival
    if seconds is None:
        return None
    return {
        "time": datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds"),
        "at": f"{float(picture.start.seconds):.3f}",
        "origin": "source" if picture.wallclock is not None else "arrival",
    }


def _print(found: dict[str, Any]) -> None:
    import json

    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")


def _table(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamer.cli.wide import print_table
    from streamer.lines import one_line

    facts = Table(show_header=False, box=None)
    clock = found["wall_clock"]
    rows = {
        "source": found["source"],
        "container": found["container"],
        "live": "yes" if found["live"] else "no",
        "duration": "unknown" if found["duration"] is None else f"{found['duration']:.3f} s",
        "start": f"{found['start']:.6f} s, in ticks of {found['time_base']} s"
        if found["start"] is not None
        else "no frame came",
        "wall clock": "none"
        if clock is None
        else f"{clock['time']} at {clock['at']} s, from the {clock['origin']}",
        "segmentable": f"yes, by {found['segmentable']}",
    }
    for name, value in rows.items():
        facts.add_row(name, Text(one_line(str(value))))
    table = Table()
    for column in ("stream", "kind", "codec", "detail", "language", "used"):
        table.add_column(column, overflow="fold")
    for stream in found["streams"]:
        row = (stream["index"], stream["kind"], stream["codec"], stream["detail"])
        used = "yes" if stream["used"] else ""
        cells = (*row, stream["language"], used)
        table.add_row(*(Text(one_line(str(cell))) for cell in cells))
    print_table(facts)
    print_table(table)
    for warning in found["warnings"]:
        Console().print(Text(one_line(f"warning: {warning}")), soft_wrap=True)
