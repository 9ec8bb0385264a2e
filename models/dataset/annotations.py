"""Scene annotations of films, as people keep them.

Four forms are read, told apart by their content:

- CSV with the header ``start,end``: scenes in seconds (``12.48``) or timecodes
  (``00:00:12:12`` with a frame rate, ``00:00:12.480`` without).
- Two columns of frame numbers, separated by blanks, one scene a line, with a frame rate; the
  second is the scene's last frame.
- MovieNet: a label file (``0003 1`` a line: shot number, 1 where the scene ends with this shot)
  beside a shot file (first frame, last frame, key frames), with a frame rate.
- The ``.scenes.csv`` that ``streamer compose`` writes, which is the first form.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from streamer.errors import DatasetError
from streamer.lines import reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MAX_BYTES: Final = 16 << 20
# Python would take a million digits, exponents and the digits of every script.
_WHOLE: Final = re.compile(r"[0-9]{1,12}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Labels:
    """Annotated boundaries laid onto shots.

    Attributes:
        boundary: One a shot: the scene ends with this shot.
        moved: Largest distance in seconds between an annotated boundary and its cut.
        lost: Annotated boundaries with no cut within the tolerance.
    """

    boundary: tuple[bool, ...]
    moved: Fraction
    lost: int


def read_boundaries(
    path: Path, *, frame_rate: Fraction | None = None, shots: Path | None = None
) -> list[Fraction]:
    """Reads where scenes begin, without the first.

    Args:
        path: The annotation.
        frame_rate: Frames a second, for frame numbers and ``HH:MM:SS:FF``.
        shots: MovieNet's shot file, when ``path`` is its label file.

    Returns:
        Ascending seconds from the start of the film.

    Raises:
        DatasetError: The file is unreadable or says nothing sensible; names file and line.
    """
    rows = _rows(path)
    if shots is not None:
        return _movienet(path, rows, _rows(shots), _rate(path, frame_rate))
    if rows and [cell.strip().lower() for cell in rows[0][1][:2]] == ["start", "end"]:
        scenes = [(line, *_two(path, line, cells, frame_rate)) for line, cells in rows[1:]]
    else:
        rate = _rate(path, frame_rate)
        scenes = [(line, *_frames(path, line, cells, rate)) for line, cells in rows]
    previous = Fraction(-1)
    for line, start, end in scenes:
        if end <= start or start < previous:
            raise DatasetError(f"{path}:{line}: scenes must be ascending and have a length")
        previous = start
    return [start for _, start, _ in scenes[1:]]


def label_shots(
    ends: Sequence[Fraction], boundaries: Sequence[Fraction], tolerance: Fraction = Fraction(1)
) -> Labels:
    """Finds the cut that belongs to each annotated boundary.

    Args:
        ends: Where each shot ends, ascending seconds; the last is the end of the film.
        boundaries: Where scenes begin, seconds.
        tolerance: A boundary farther than this from any cut is lost.
    """
    inner = list(ends[:-1])
    marked = [False] * len(ends)
    moved, lost = Fraction(0), 0
    for at in boundaries:
        right = bisect_left(inner, at)
        near = [i for i in (right - 1, right) if 0 <= i < len(inner)]
        best = min(near, key=lambda i: abs(inner[i] - at), default=None)
        if best is None or abs(inner[best] - at) > tolerance:
            lost += 1
            continue
        marked[best] = True
        moved = max(moved, abs(inner[best] - at))
    return Labels(tuple(marked), moved, lost)


def parse_time(text: str, frame_rate: Fraction | None) -> Fraction:
    """Reads seconds, ``HH:MM:SS.mmm`` or ``HH:MM:SS:FF``.

    Raises:
        ValueError: The text is none of these, or frames came without a frame rate.
    """
    fields = text.strip().replace(";", ":").split(":")
    if len(fields) == 4:
        if frame_rate is None:
            raise ValueError("a timecode with frames needs a frame rate")
        if not _WHOLE.fullmatch(fields[3]):
            raise ValueError("not a time")
        return _clock(fields[:3]) + int(fields[3]) / frame_rate
    return _clock(fields)


def _clock(fields: Sequence[str]) -> Fraction:
    if not 1 <= len(fields) <= 3 or not all(_SECONDS.fullmatch(field) for field in fields):
        raise ValueError("not a time")
    total = Fraction(0)
    for field in fields:
        total = total * 60 + Fraction(field)
    return total


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"{path}: larger than any annotation ({_MAX_BYTES >> 20} MiB)")
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {reason(error)}") from error
    delimiter = "," if lines and "," in lines[0] else None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            cells = next(csv.reader([line]), []) if delimiter else line.split()
        except csv.Error as error:
            raise DatasetError(f"{path}:{number}: not CSV: {error}") from error
        if cells and cells != ["end"] and not cells[0].startswith("#"):
            rows.append((number, cells))
    if not rows:
        raise DatasetError(f"{path}: no scene in it")
    return rows


def _rate(path: Path, frame_rate: Fraction | None) -> Fraction:
    if frame_rate is None:
        raise DatasetError(f"{path}: frame numbers need --frame-rate")
    return frame_rate


def _two(
    path: Path, line: int, cells: list[str], frame_rate: Fraction | None
) -> tuple[Fraction, Fraction]:
    try:
        return parse_time(cells[0], frame_rate), parse_time(cells[1], frame_rate)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise DatasetError(f"{path}:{line}: not a start and an end: {error}") from error


def _frames(path: Path, line: int, cells: list[str], rate: Fraction) -> tuple[Fraction, Fraction]:
    if len(cells) < 2 or not all(_WHOLE.fullmatch(cell) for cell in cells[:2]):
        raise DatasetError(f"{path}:{line}: not a first and a last frame")
    return int(cells[0]) / rate, (int(cells[1]) + 1) / rate


def _movienet(
    path: Path,
    labels: list[tuple[int, list[str]]],
    shots: list[tuple[int, list[str]]],
    rate: Fraction,
) -> list[Fraction]:
    starts = [_frames(path, line, cells, rate)[0] for line, cells in shots]
    found = []
    for line, cells in labels:
        if len(cells) < 2 or cells[1] not in {"0", "1"} or not _WHOLE.fullmatch(cells[0]):
            raise DatasetError(f"{path}:{line}: not a shot number and a label 0 or 1")
        shot = int(cells[0]) + 1
        if cells[1] == "1" and shot < len(starts):
            found.append(starts[shot])
    return found
