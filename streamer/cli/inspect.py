"""Inspect inputs, devices, schemas and plug-ins: ``streamer probe`` and its like."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamer.cli._arguments import ConfigOption, check_source

if TYPE_CHECKING:
    from streamer.config.settings import Settings
    from streamer.decode.decoder import Decoder
    from streamer.timeline import Picture, Sound


def probe(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="What `streamer tail` takes.", callback=check_source),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config: ConfigOption = None,
) -> int:
    """Show an input's streams, codecs, rates, start time and wall clock.

    The first frames are decoded, so that the answer is what segmenting would meet. For an
    input that cannot be segmented the reason is printed, with the exit code of `streamer tail`.

    Examples:

      streamer probe film.mkv

      streamer probe rtsp://camera.local/stream --json
    """
    from streamer.cli._output import handle
    from streamer.config.load import load_settings
    from streamer.errors import SourceError

    settings = load_settings(config)
    try:
        found = examine(source, settings)
    except SourceError as error:
        if as_json:
            _print_json({"segmentable": "no", "error": str(error), "exit_code": error.exit_code})
            return error.exit_code
        return handle(error, debug=context.obj is not None and context.obj.debug)
    if as_json:
        _print_json(found)
    else:
        _print_tables(found)
    return 0


def examine(location: str, settings: Settings) -> dict[str, Any]:
    """Open an input and decode up to the first picture and the first sound.

    Args:
        location: As `streamer tail` takes it.
        settings: Timeouts and limits.

    Returns:
        The findings as JSON values: times in seconds, ``segmentable`` is ``picture and
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
        first, picture = _first_frames(decoder)
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


DECODE_SECONDS: Final = 4.0
"""Longest time to decode until picture, sound and a live source's own clock have been seen."""


def _first_frames(decoder: Decoder) -> tuple[Picture | Sound | None, Picture | None]:
    """Return the first frame, and the first picture with a wall clock of the source."""
    from streamer.timeline import Picture

    first: Picture | Sound | None = None
    video: Picture | None = None
    audio_seen = False
    deadline = time.monotonic() + DECODE_SECONDS
    for item in decoder:
        first = first or item
        if isinstance(item, Picture):
            # A live source may give its wall clock only with a later picture.
            video = item if video is None or video.wallclock is None else video
        else:
            audio_seen = True
        waiting = video is not None and video.wallclock is None and decoder.live
        seen = video is not None or not decoder.info.has_picture
        if (seen and (audio_seen or not decoder.info.has_sound) and not waiting) or (
            time.monotonic() > deadline
        ):
            break
    return first, video


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


def _print_json(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")


def _print_tables(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamer.cli._render import print_table
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


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List microphones, cameras and screens, each with what to type for it.

    Examples:

      streamer devices

      streamer tail mic:
    """
    from dataclasses import asdict

    from streamer.connectors.sources.capture import devices as find_devices
    from streamer.lines import report

    available, missing = find_devices()
    for line in missing:
        report(line, label="warning", style="bold yellow")
    if as_json:
        for device in available:
            sys.stdout.write(json.dumps(asdict(device), ensure_ascii=False) + "\n")
        return
    if not available:
        report("nothing to record from was found", label="devices", style="bold")
        return

    from rich.table import Table

    from streamer.cli._render import print_table

    table = Table()
    for column in ("type this", "kind", "name", "detail"):
        table.add_column(column, overflow="fold")
    for device in available:
        table.add_row(device.location, device.kind, device.name, device.detail)
    print_table(table)


class EventKind(StrEnum):
    """Name a kind of event."""

    BOUNDARY = "boundary"
    SHOT = "shot"
    SCENE = "scene"
    DISCONTINUITY = "discontinuity"


def schema(
    kind: Annotated[EventKind, typer.Argument(help="Kind of event.")] = EventKind.BOUNDARY,
) -> None:
    """Print the JSON Schema (2020-12) of an event's data."""
    from streamer.events.schemas import shipped

    sys.stdout.write(json.dumps(shipped(kind.value), indent=2) + "\n")


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the parts that can be used by name, built-in and installed.

    Installed ones are imported to see whether that works.

    Examples:

      streamer plugins

      streamer plugins --json
    """
    from streamer import __version__
    from streamer.errors import PluginError
    from streamer.plugins import BUILT_IN, NOUNS, find, table

    rows = []
    for group in BUILT_IN:
        for name, found in sorted(table(group).items()):
            for each in found:
                error = None
                try:
                    find(group, name)
                    if not each.built_in:
                        each.load()
                except PluginError as problem:
                    error = str(problem)
                rows.append(
                    {
                        "kind": NOUNS[group],
                        "name": name,
                        "distribution": each.distribution,
                        "version": __version__ if each.built_in else each.version,
                        "object": each.target,
                        "error": error,
                    }
                )
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        return

    from rich.table import Table
    from rich.text import Text

    from streamer.cli._render import print_table
    from streamer.lines import one_line

    shown = Table()
    columns = ("kind", "name", "distribution", "version", "error")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(one_line(row[column] or "")) for column in columns))
    print_table(shown)
