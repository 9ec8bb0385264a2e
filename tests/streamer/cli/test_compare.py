"""Pairs of true and reported boundaries."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.cli.app import run
from streamer.cli.events import Found, Row, match, read_events
from streamer.errors import DatasetError
from streamer.events.cloudevent import cloud_event, to_line
from tests.streamer.events.examples import boundary, shot

TIMES = st.lists(st.integers(0, 100).map(float), max_size=12, unique=True)


def test_pairs_misses_and_false_alarms() -> None:
    one, two = Found(10.5, 0.9), Found(12.0, 0.8)
    assert match([10.0, 20.0], [two, one], 3.0) == [
        Row(10.0, one),
        Row(None, two),
        Row(20.0, None),
    ]


@given(TIMES, TIMES, st.integers(0, 10).map(float))
def test_each_boundary_is_used_once(true: list[float], times: list[float], near: float) -> None:
    found = [Found(when, 0.5) for when in times]
    rows = match(true, found, near)
    assert sorted(row.true for row in rows if row.true is not None) == sorted(true)
    assert sorted(row.found.seconds for row in rows if row.found) == sorted(times)
    for row in rows:
        if row.true is not None and row.found is not None:
            assert abs(row.true - row.found.seconds) <= near
    lonely_true = [row.true for row in rows if row.found is None and row.true is not None]
    lonely_found = [row.found.seconds for row in rows if row.true is None and row.found]
    assert all(abs(a - b) > near for a in lonely_true for b in lonely_found)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events, scenes = tmp_path / "events.jsonl", tmp_path / "scenes.csv"
    events.write_bytes(to_line(cloud_event(shot())) + to_line(cloud_event(boundary())))
    scenes.write_text("start,end\n0.0,20.1\n20.1,50\n50,60\n")
    assert run(["compare", str(events), str(scenes)]) == 0
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "20.100" in line)
    assert "20.000" in row
    assert "-0.100" in row
    assert "0.75" in row
    assert "missed" in printed
    assert "1 of 2 true boundaries found, 0 false alarms" in printed


@pytest.mark.parametrize("line", ["{", "[]", "1", '{"type": 1', "{}", "[" * 100_000])
def test_lines_that_are_no_events(line: str) -> None:
    with pytest.raises(DatasetError, match="events: line 2 is not an event"):
        read_events(["\n", line], "events")


@pytest.mark.parametrize("text", ["", "begin,end\n1,2\n", "start,end\nx,2\n", "start,end\nnan,2\n"])
def test_annotations_that_are_none(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    events, path = tmp_path / "events.jsonl", tmp_path / "scenes.csv"
    events.touch()
    path.write_text(text)
    assert run(["compare", str(events), str(path)]) == 60
    errors = capsys.readouterr().err
    assert "scenes.csv:" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("start,end\n00:00:00:00,00:00:20:05\n00:00:20:05,00:01:00:00\n", ["--frame-rate", "50"]),
        ("start,end\n00:00:00.000,00:00:20.100\n00:00:20.100,00:01:00\n", []),
        ("0 1004\n1005 2999\n", ["--frame-rate", "50"]),
        ("0000 1\n0001 0\nend\n", ["--frame-rate", "50", "--shots", "SHOTS"]),
    ],
    ids=["timecodes", "clock", "frames", "MovieNet"],
)
def test_every_form_that_extract_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, options: list[str]
) -> None:
    events, scenes, shots = (tmp_path / name for name in ("events.jsonl", "scenes", "shots"))
    events.write_bytes(to_line(cloud_event(boundary())))
    scenes.write_text(text)
    shots.write_text("0 1004 1 2 3\n1005 2999 1 2 3\n")
    words = [str(shots) if each == "SHOTS" else each for each in options]
    assert run(["compare", str(events), str(scenes), *words]) == 0
    printed = capsys.readouterr().out
    assert "1 of 1 true boundaries found, 0 false alarms" in printed
    assert "20.100" in printed


def test_missing_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 60
    assert capsys.readouterr().err.count("\n") == 1
