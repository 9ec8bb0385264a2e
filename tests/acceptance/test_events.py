"""What comes out, line by line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from streamer.models.catalogue import EXPERT_ROWS
from tests.acceptance.command import EVERYTHING, Tail, read_event
from tests.acceptance.films import CUTS, SHOTS


def test_each_boundary_is_one_valid_line_where_the_cut_is(tail: Tail, film: Path) -> None:
    done = tail(film, "--threshold", "0")
    assert done.code == 0
    assert [data["seconds"] for data in done.boundaries] == CUTS
    assert [data["boundary_index"] for data in done.boundaries] == list(range(SHOTS - 1))
    assert len({round(score, 6) for score in done.scores}) > 3
    names = [row.name for row in EXPERT_ROWS]
    for number, data in enumerate(done.boundaries):
        assert (data["stream"], data["epoch"], data["threshold"]) == ("film", 0, 0)
        assert data["shot_index"] == number + 1
        numerator, denominator = map(int, data["time_base"].split("/"))
        assert data["pts"] * numerator / denominator == data["seconds"]
        assert data["wallclock"] == {"time": None, "origin": "none"}
        assert [voice["name"] for voice in data["experts"]] == names
        assert sum(voice["weight"] for voice in data["experts"]) == pytest.approx(1)
        mixed = sum(voice["weight"] * voice["probability"] for voice in data["experts"])
        assert data["score"] == pytest.approx(mixed, abs=1e-6)
        assert data["latency_seconds"] == pytest.approx(sum(data["latency"].values()))
        assert data["aspects"]["vggish"] == {"network": "yamnet", "absent": False}
        assert data["scene"]["shots"] == 1


def test_the_three_kinds_agree_with_each_other(tail: Tail, film: Path) -> None:
    middle = sorted(tail(film, "--threshold", "0").scores)[SHOTS // 2]
    done = tail(film, "--threshold", middle, *EVERYTHING)
    assert len(done.shots) == SHOTS
    assert all(a["end_pts"] == b["pts"] for a, b in itertools.pairwise(done.shots))
    assert [shot["ended_by"] for shot in done.shots] == ["cut"] * (SHOTS - 1) + ["end"]
    assert all(data["score"] >= middle for data in done.boundaries)
    assert 0 < len(done.boundaries) < SHOTS - 1
    assert [scene["scene"] for scene in done.scenes[:-1]] == [b["scene"] for b in done.boundaries]
    assert [s["ended_by"] for s in done.scenes] == ["boundary"] * len(done.boundaries) + ["end"]
    assert sum(scene["scene"]["shots"] for scene in done.scenes) == SHOTS
    assert done.scenes[-1]["scene"]["end"] == SHOTS * 1.2
    assert len(set(done.ids)) == len(done.ids)


@pytest.mark.parametrize("emit", ["shots", "scenes", "scenes,shots"])
def test_only_what_was_asked_for_comes_out(tail: Tail, film: Path, emit: str) -> None:
    done = tail(film, "--threshold", "0", "--emit", emit)
    assert bool(done.shots) == ("shots" in emit)
    assert bool(done.scenes) == ("scenes" in emit)
    assert done.boundaries == []


def test_no_boundary_at_the_highest_threshold_leaves_one_scene(tail: Tail, film: Path) -> None:
    done = tail(film, "--threshold", "1", "--emit", "boundaries,scenes")
    assert done.boundaries == []
    assert [scene["scene"]["shots"] for scene in done.scenes] == [SHOTS]


def test_output_goes_to_a_file_and_appends(tail: Tail, film: Path, tmp_path: Path) -> None:
    output = tmp_path / "events.jsonl"
    for _ in range(2):
        assert tail(film, "--threshold", "0", "--output", output).events == []
    lines = output.read_text().splitlines()
    events = [read_event(line) for line in lines]
    assert len(events) == 2 * (SHOTS - 1)
    assert [e["id"] for e in events[: SHOTS - 1]] == [e["id"] for e in events[SHOTS - 1 :]]


def test_quiet_says_nothing_and_plain_says_the_summary(tail: Tail, film: Path) -> None:
    assert tail(film, "--quiet").errors == ""
    told = tail(film, "--threshold", "0").errors
    assert "end of input" in told
    assert f"│ shots               │ {SHOTS:>12} │" in told


def test_json_logs_are_json_lines(tail: Tail, silent_film: Path) -> None:
    done = tail(silent_film, "--json-logs", "--threshold", "0")
    first, *lines = [json.loads(line) for line in done.errors.splitlines()]
    assert first["event"] == "loading"
    assert [line["event"] for line in lines] == ["warning", "summary"]
    assert lines[0]["message"] == "no sound: acoustic experts are absent"
    assert (lines[1]["shots"], lines[1]["boundaries"]) == (SHOTS, SHOTS - 1)
    assert lines[1]["ended"] == "end of input"
    assert all(line["stream"] == "silent" for line in lines)


@pytest.mark.parametrize("extra", [0, 1, 4, 9])
def test_lookahead_waits_so_many_more_shots(tail: Tail, film: Path, extra: int) -> None:
    done = tail(film, "--threshold", "0", "--lookahead", extra, "--emit", "boundaries,shots")
    assert [data["boundary_index"] for data in done.boundaries] == list(range(SHOTS - 1))
    closed = 0
    for event in done.events:
        data = event["data"]
        if "boundary_index" not in data:
            closed += 1
            continue
        waited = min(SHOTS - 1 - data["boundary_index"], 2 + extra)
        assert data["lookahead_shots"] == waited
        assert closed - 1 - data["boundary_index"] == waited


@pytest.mark.parametrize("extra", [-1, 10])
def test_a_lookahead_out_of_range_is_refused(tail: Tail, film: Path, extra: int) -> None:
    done = tail(film, f"--lookahead={extra}")
    assert done.code == 2
    assert done.errors.count("\n") == 1
    assert "--lookahead" in done.errors


def test_the_command_line_beats_the_environment_beats_the_file(
    tail: Tail, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[stream]\nname = "file"\nepoch = 3\n[segment]\nthreshold = 0.0\n')
    first = tail(film, "--config", file).boundaries[0]
    assert (first["stream"], first["epoch"], first["threshold"]) == ("file", 3, 0)
    monkeypatch.setenv("STREAMER__STREAM__NAME", "environment")
    first = tail(film, "--config", file).boundaries[0]
    assert (first["stream"], first["epoch"]) == ("environment", 3)
    first = tail(film, "--config", file, "--name", "line").boundaries[0]
    assert (first["stream"], first["epoch"]) == ("line", 3)


def test_a_film_of_one_shot_has_one_scene_and_no_boundary(
    tail: Tail, tmp_path: Path, one_shot: Path
) -> None:
    done = tail(one_shot, "--threshold", "0", *EVERYTHING)
    assert done.code == 0
    assert (len(done.shots), len(done.boundaries), len(done.scenes)) == (1, 0, 1)
