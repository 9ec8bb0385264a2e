"""Render tables, the progress line and the closing summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from streamer.cli._monitor import Summary
    from streamer.pipeline.progress import Fault, Progress

_MAX_WIDTH: Final = 100_000
_BORDER_WIDTH: Final = 3
_MIN_TEXT_WIDTH: Final = 4
_FAULTS: Final[dict[Fault, str]] = {
    "packet": "packets not decoded",
    "picture": "pictures damaged",
    "time": "frames out of order",
}


def print_table(table: Table) -> None:
    """Print a table on standard output without cutting anything off.

    On a terminal, text folds to fit; numbers keep their width, if need be beyond the terminal's
    edge. Elsewhere nothing folds.

    Args:
        table: Its ``no_wrap`` columns, such as numbers, are never broken.
    """
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    unbounded = console.options.update(max_width=_MAX_WIDTH)
    least = 1
    for column in table.columns:
        if column.no_wrap:
            cells = [Measurement.get(console, unbounded, cell).maximum for cell in column.cells]
            column.min_width = max(cells, default=0)
        least += _BORDER_WIDTH + max(column.min_width or 0, _MIN_TEXT_WIDTH)
    whole = Measurement.get(console, unbounded, table).maximum
    Console(width=max(console.width, least) if console.is_terminal else whole).print(table)


def progress_line(stream: str, progress: Progress, factor: float) -> Text:
    """Draw the live line.

    Args:
        stream: The stream's name.
        progress: Position and counts so far.
        factor: Seconds of input a second of wall time.
    """
    from rich.text import Text

    whole = f" / {_clock(progress.duration)}" if progress.duration is not None else ""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(stream, style="bold")
    line.append(f"  {_clock(progress.position)}{whole}", style="cyan")
    line.append(f"  {factor:.1f}× real time")
    line.append(f"  {progress.shots} shots  {progress.scenes} scenes", style="green")
    line.append(f"  lag {progress.lag:.1f} s", style="yellow" if progress.lag > 1 else "dim")
    return line


def summary_fields(summary: Summary) -> dict[str, object]:
    """Convert the summary to plain values in base units, for log lines."""
    return {
        "ended": summary.ended,
        "position_seconds": float(summary.position),
        "shots": summary.shots,
        "scenes": summary.scenes,
        "boundaries": summary.boundaries,
        "wall_seconds": round(summary.wall_seconds, 3),
        "realtime_factor": round(summary.realtime_factor, 3),
        "latency_p50_seconds": summary.latency_p50,
        "latency_p95_seconds": summary.latency_p95,
        "cpu_seconds": round(summary.cpu_seconds, 3),
        "peak_memory_bytes": summary.peak_bytes,
        "failed_packets": summary.faults.get("packet", 0),
        "damaged_pictures": summary.faults.get("picture", 0),
        "dropped_frames": summary.faults.get("time", 0),
        "lost_sound_seconds": round(summary.lost_sound, 3),
    }


def summary_table(summary: Summary) -> RenderableType:
    """Draw the closing table."""
    from rich.table import Table

    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f} s"

    table = Table(title=one_line(summary.stream), title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in (
        ("ended", summary.ended),
        ("input", _clock(summary.position)),
        ("shots", f"{summary.shots:,}"),
        ("scenes", f"{summary.scenes:,}"),
        ("boundaries reported", f"{summary.boundaries:,}"),
        ("× real time", f"{summary.realtime_factor:.1f}"),
        ("latency p50", seconds(summary.latency_p50)),
        ("latency p95", seconds(summary.latency_p95)),
        ("CPU", seconds(summary.cpu_seconds)),
        ("peak memory", f"{summary.peak_bytes / 2**20:,.0f} MiB"),
        *_fault_rows(summary),
    ):
        table.add_row(name, value)
    return table


def _fault_rows(summary: Summary) -> Iterator[tuple[str, str]]:
    """Yield a row for each kind of fault that the input had."""
    for fault, words in _FAULTS.items():
        if times := summary.faults.get(fault, 0):
            yield words, f"{times:,}"
    if summary.lost_sound:
        yield "sound given up", f"{summary.lost_sound:.1f} s"


def _clock(seconds: Fraction) -> str:
    whole = max(int(seconds), 0)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
