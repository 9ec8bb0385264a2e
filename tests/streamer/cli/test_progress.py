"""What the reporters write, and where."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from fractions import Fraction

import pytest
from rich.console import Console

from streamer.cli._monitor import RunStatistics, Summary
from streamer.cli._progress import (
    JsonReporter,
    LiveReporter,
    PlainReporter,
    QuietReporter,
    make_reporter,
)
from streamer.cli._render import progress_line, summary_fields, summary_table
from streamer.config.sections import LoggingSection
from streamer.logs import json_logger
from streamer.pipeline.progress import Fault, Progress

SUMMARY = Summary(
    stream="film",
    ended="end of input",
    position=Fraction(600),
    shots=120,
    scenes=9,
    boundaries=8,
    wall_seconds=60.0,
    cpu_seconds=90.0,
    peak_bytes=512 * 2**20,
    latency_p50=4.0,
    latency_p95=9.5,
)


def test_what_was_wrong_with_the_input_is_told() -> None:
    assert "damaged" not in shown(SUMMARY)
    faults: dict[Fault, int] = {"packet": 2, "picture": 1234, "time": 0}
    told = shown(replace(SUMMARY, faults=faults, lost_sound=2.5))
    assert "pictures damaged 1,234" in told
    assert "packets not decoded 2" in told
    assert "sound given up 2.5 s" in told
    assert "out of order" not in told
    fields = summary_fields(replace(SUMMARY, faults=faults, lost_sound=2.5))
    assert (fields["damaged_pictures"], fields["lost_sound_seconds"]) == (1234, 2.5)


def shown(summary: Summary) -> str:
    """The words of the table."""
    file = io.StringIO()
    Console(file=file, width=80).print(summary_table(summary))
    return " ".join(word for word in file.getvalue().split() if word not in "│┃")


def test_the_line() -> None:
    film = Progress(Fraction(3725), Fraction(7200), shots=153, scenes=21, lag=0.4)
    text = progress_line("film", film, 8.25).plain
    assert text == "film  01:02:05 / 02:00:00  8.2× real time  153 shots  21 scenes  lag 0.4 s"
    live = progress_line("camera", Progress(Fraction(1), lag=2.0), 1.0).plain
    assert live == "camera  00:00:01  1.0× real time  0 shots  0 scenes  lag 2.0 s"


def test_plain_reporter_writes_warnings_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = make_reporter("film", LoggingSection())
    assert type(reporter) is PlainReporter
    reporter.update(Progress(Fraction(1), shots=1))
    reporter.warn("sound ends\nearly", second=3)
    reporter.finish(SUMMARY)
    reporter.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "warning: sound ends early"
    table = " ".join(captured.err.split())
    for cell in ("film", "120", "10.0", "4.00 s", "9.50 s", "90.00 s", "512 MiB", "00:10:00"):
        assert cell in table


def test_quiet_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = make_reporter("film", LoggingSection(quiet=True))
    assert type(reporter) is QuietReporter
    reporter.warn("odd")
    with reporter.aside():
        pass
    reporter.finish(SUMMARY)
    assert capsys.readouterr() == ("", "")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = make_reporter("film", LoggingSection(json_logs=True))
    reporter.warn("odd", second=3.5)
    reporter.finish(SUMMARY)
    captured = capsys.readouterr()
    assert captured.out == ""
    warning, summary = (json.loads(line) for line in captured.err.splitlines())
    assert (warning["event"], warning["level"], warning["message"]) == ("warning", "warning", "odd")
    assert (warning["stream"], warning["second"]) == ("film", 3.5)
    assert summary["event"] == "summary"
    assert summary["realtime_factor"] == 10.0
    assert summary["peak_memory_bytes"] == 512 * 2**20
    assert summary["timestamp"].endswith("Z")


def test_json_progress_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("streamer.cli._progress.time.monotonic", lambda: now[0])
    file = io.StringIO()
    reporter = JsonReporter(json_logger(file=file))
    for step in range(1, 251):
        now[0] = 100.0 + step / 10
        reporter.update(Progress(Fraction(step), Fraction(500), shots=step))
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["shots"] for line in lines] == [100, 200]
    assert lines[0]["realtime_factor"] == 10.0


def test_debug_lines_only_when_wanted() -> None:
    file = io.StringIO()
    json_logger(file=file).debug("detail")
    assert file.getvalue() == ""
    json_logger(file=file, debug=True).debug("detail")
    assert json.loads(file.getvalue())["event"] == "detail"


def test_the_live_line_gives_way_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("streamer.cli._progress.time.monotonic", lambda: now[0])
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    reporter = LiveReporter("film", console)
    for step in range(1, 11):
        now[0] = step / 16
        reporter.update(Progress(Fraction(step), shots=step))
    drawn = screen.getvalue()
    assert [f" {step} shots" in drawn for step in range(1, 11)] == [False, True] * 5
    with reporter.aside():
        cleared = screen.getvalue()[len(drawn) :]
        assert "\x1b[2K" in cleared
    now[0] = 2.0
    reporter.update(Progress(Fraction(11), shots=11, scenes=1))
    assert "11 shots" in screen.getvalue()
    reporter.finish(SUMMARY)
    assert "peak memory" in screen.getvalue()
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h")
    reporter.close()


def test_statistics_of_a_run() -> None:
    statistics = RunStatistics()
    empty = statistics.summary("film", "end", Progress(Fraction(1)))
    assert (empty.latency_p50, empty.latency_p95) == (None, None)
    for value in range(101):
        statistics.event(float(value))
    full = statistics.summary("film", "end", Progress(Fraction(1), shots=3, faults={"picture": 9}))
    assert (full.shots, full.faults) == (3, {"picture": 9})
    assert full.latency_p50 == pytest.approx(50.0)
    assert full.latency_p95 == pytest.approx(95.0)
    assert full.wall_seconds >= empty.wall_seconds > 0
    assert full.cpu_seconds >= 0
    assert full.peak_bytes > 2**20
    for _ in range(20_000):
        statistics.event(1.0)
    last = statistics.summary("film", "end", Progress(Fraction(1)))
    assert last.latency_p95 == pytest.approx(1.0)
