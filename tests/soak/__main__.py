"""``python -m tests.soak``: the long run, and its report in Markdown."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from streamer.heap import keep_level
from tests.soak.memory import MOST_SLOPE, level, slope
from tests.soak.run import Sample, Soaked, soak


def main() -> int:
    """Runs and reports; the exit code says whether everything was as it had to be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--hours", type=float, default=6.0, help="of media, all streams together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", type=float, help="wall seconds to send for; all of it if less")
    parser.add_argument("--limit", type=float, default=4 * 3600.0, help="wall seconds")
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    keep_level()

    shown = -60.0

    def told(sample: Sample) -> None:
        nonlocal shown
        if sample.wall - shown >= 60:
            shown = sample.wall
            line = (
                f"{sample.wall:6.0f} s  {sample.media / 3600:6.2f} h of media  "
                f"{sample.resident / 2**20:5.0f} MiB  {sample.files} files  "
                f"{sample.threads} threads  {sample.blocks:,} blocks"
            )
            print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        done = soak(
            Path(folder),
            streams=given.streams,
            seconds=given.hours * 3600 / given.streams,
            seed=given.seed,
            limit=given.limit,
            until=given.until,
            told=told,
        )
    text = report(done, given.streams, given.seed)
    print(text)
    if given.report is not None:
        given.report.write_text(text)
    return 0 if done.verdict.clean and level(done.samples) else 1


def report(done: Soaked, streams: int, seed: int) -> str:
    """The run in Markdown."""
    verdict = done.verdict

    def words(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"

    rows = [
        ("media sent", f"{verdict.media / 3600:.2f} h over {streams} streams"),
        ("wall time", f"{done.wall / 60:.1f} min"),
        ("connections by how they ended", words(verdict.connections)),
        ("faults within connections", words(verdict.faults)),
        ("epochs, expected / seen", f"{verdict.delivering} / {verdict.epochs}"),
        ("discontinuities by reason", words(verdict.discontinuities)),
        ("cuts, expected / seen within a frame", f"{verdict.cuts} / {verdict.found}"),
        ("shots that begin where nothing did", str(len(verdict.invented))),
        ("shot events, of these forced", f"{verdict.shots}, {verdict.forced}"),
        ("boundaries, expected / seen", f"{verdict.due} / {verdict.boundaries}"),
        ("of these across a gap", str(verdict.across)),
        ("events twice", str(verdict.repeated)),
        ("streams at the end", words(Counter(done.states.values()))),
        ("errors that nobody foresaw", str(len(done.internal))),
        ("largest state on disk", f"{done.largest_state / 1024:.0f} KiB"),
        (
            "memory in the second half, at most",
            f"{slope(done.samples):+.2f} MiB per hour of media, {MOST_SLOPE:g}",
        ),
    ]
    lines = [
        f"Date {datetime.now(UTC):%Y-%m-%d}, seed {seed}, {platform.machine()}, "
        f"Python {platform.python_version()}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "| wall, min | media, h | resident, MiB | files | threads | Python's blocks |",
        "|---|---|---|---|---|---|",
        *(
            f"| {s.wall / 60:.1f} | {s.media / 3600:.2f} | {s.resident / 2**20:.0f} "
            f"| {s.files} | {s.threads} | {s.blocks:,} |"
            for s in _spread(done.samples, 16)
        ),
    ]
    lines += ["", *done.internal[:20]] if done.internal else []
    for label, found in (("missed", verdict.missed), ("invented", verdict.invented)):
        if found:
            lines += ["", f"First {label}: {found[:20]}"]
    return "\n".join(lines) + "\n"


def _spread(samples: list[Sample], count: int) -> list[Sample]:
    if len(samples) <= count:
        return samples
    return [samples[round(i * (len(samples) - 1) / (count - 1))] for i in range(count)]


if __name__ == "__main__":
    sys.exit(main())
