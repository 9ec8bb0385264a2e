from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import DatasetError
from streamer.models.dataset.annotations import label_shots, parse_time, read_boundaries

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str, name: str = "film.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_seconds(tmp_path: Path) -> None:
    path = write(tmp_path, "start,end\n0.000000,12.480000\n12.480000,60.5\n")
    assert read_boundaries(path) == [Fraction("12.48")]


def test_timecodes(tmp_path: Path) -> None:
    path = write(tmp_path, "start,end\n00:00:00:00,00:00:12:12\n00:00:12:12,00:01:00:00\n")
    assert read_boundaries(path, frame_rate=Fraction(25)) == [Fraction("12.48")]
    clock = write(tmp_path, "start,end\n00:00:00.000,00:00:12.480\n00:00:12.480,00:01:00\n")
    assert read_boundaries(clock) == [Fraction("12.48")]


def test_frame_pairs(tmp_path: Path) -> None:
    path = write(tmp_path, "0 299\n300 899\n")
    assert read_boundaries(path, frame_rate=Fraction(24000, 1001)) == [Fraction(300 * 1001, 24000)]


@pytest.mark.parametrize("digits", [13, 5000])
def test_frame_numbers_of_any_length_are_refused(tmp_path: Path, digits: int) -> None:
    rate = Fraction(25)
    shots = write(tmp_path, "0 99\n100 199\n", "shots")
    for text, beside in (
        (f"0 {'9' * digits}\n", None),
        (f"{'9' * digits} 1\n", shots),
    ):
        with pytest.raises(DatasetError, match=r"film\.csv:1: not a"):
            read_boundaries(write(tmp_path, text), frame_rate=rate, shots=beside)
    code = write(tmp_path, f"start,end\n0,00:00:01:{'9' * digits}\n")
    with pytest.raises(DatasetError, match=r"film\.csv:2: not a start"):
        read_boundaries(code, frame_rate=rate)


def test_movienet(tmp_path: Path) -> None:
    shots = write(tmp_path, "0 99 1 2 3\n100 199 1 2 3\n200 299 1 2 3\n300 399 1 2 3\n", "shots")
    labels = write(tmp_path, "0000 0\n0001 1\n0002 0\nend\n", "labels")
    assert read_boundaries(labels, frame_rate=Fraction(25), shots=shots) == [Fraction(8)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no scene"),
        ("start,end\n0,5\nfive,6\n", "film.csv:3"),
        ("start,end\n0,5\n5,5\n", "film.csv:3"),
        ("start,end\n5,9\n0,5\n", "film.csv:3"),
        ("start,end\n00:00:00:00,00:00:01:00\n", "frame rate"),
        ("0 99\n100 199\n", "--frame-rate"),
        ("start,end\n0,1e99\n", "film.csv:2"),
        ("start,end\n0," + "5" * 140_000 + "\n", "film.csv:2: not CSV"),
        ('start,end\n0,5\n5,"' + "x" * 140_000 + "\n", "film.csv:3: not CSV"),
        ("start,end\n0," + "9" * 5000 + "\n", "film.csv:2"),
        ("start,end\n0,0x10\n", "film.csv:2"),
        ("start,end\n0,\u0665\n", "film.csv:2"),
        ("start,end\n0,1/3\n", "film.csv:2"),
        ("start,end\n0,a\0b\n", "film.csv:2"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        read_boundaries(write(tmp_path, text))


def test_a_missing_file_is_a_dataset_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_boundaries(tmp_path / "none.csv")


def test_labels_go_to_the_nearest_cut() -> None:
    ends = [Fraction(n) for n in (4, 9, 15, 20)]
    labels = label_shots(ends, [Fraction("8.6"), Fraction("12")])
    assert labels.boundary == (False, True, False, False)
    assert labels.moved == Fraction(2, 5)
    assert labels.lost == 1


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40, unique=True).map(sorted), st.data())
def test_exact_boundaries_mark_exactly_their_cuts(ends: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.sampled_from(ends[:-1]))) if len(ends) > 1 else set()
    labels = label_shots([Fraction(e) for e in ends], [Fraction(e) for e in sorted(chosen)])
    assert {e for e, marked in zip(ends, labels.boundary, strict=True) if marked} == chosen
    assert labels.lost == 0


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_clock_times_are_exact(hours: int, minutes: int, seconds: int, millis: int) -> None:
    text = f"{hours:02}:{minutes:02}:{seconds:02}.{millis:03}"
    total = hours * 3600 + minutes * 60 + seconds + Fraction(millis, 1000)
    assert parse_time(text, None) == total
