"""Exit codes, one-line errors, and imports that stay cheap."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

import streamer.cli.app as cli
from streamer.cli._output import handle
from streamer.connectors.sinks.sink import ConsumerGone
from streamer.errors import NotMedia, StreamerError
from streamer.lines import one_line

HEAVY = {"torch", "av", "numpy", "pydantic", "jsonschema", "sklearn", "cloudevents", "faust"}


def modules_after(arguments: list[str]) -> tuple[set[str], str]:
    code = (
        "import io, json, sys\n"
        "from contextlib import redirect_stdout\n"
        "from streamer.cli.app import run\n"
        "text = io.StringIO()\n"
        "with redirect_stdout(text): code = run(json.loads(sys.argv[1]))\n"
        "print(json.dumps([code, list(sys.modules), text.getvalue()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    code_, modules, text = json.loads(done.stdout)
    assert code_ == 0
    return {name.partition(".")[0] for name in modules}, text


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    modules, _ = modules_after(arguments)
    # typer itself imports pydantic once it has options to convert.
    allowed = set() if arguments == ["--help"] else {"pydantic"}
    assert modules & HEAVY <= allowed


def test_help_names_every_command_and_shows_examples() -> None:
    _, text = modules_after(["--help"])
    assert all(f" {name} " in text for name in cli.COMMANDS)
    assert "streamer tail film.mkv" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help_without_torch(name: str) -> None:
    modules, text = modules_after([name, "--help"])
    assert f"streamer {name}" in text
    assert modules & {"torch", "av", "sklearn", "faust"} == set()


def every_command(name: str) -> Iterator[tuple[list[str], Any]]:
    command = cli.load(name)
    yield [name], command
    for below, part in getattr(command, "commands", {}).items():
        yield [name, below], part


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_loses_no_brackets_and_offers_the_same_options_everywhere(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rich takes words in brackets for markup, which is not shown.
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)
    for words, command in every_command(name):
        assert cli.run([*words, "--help"]) == 0
        shown = capsys.readouterr().out
        texts = [command.help, *(getattr(part, "help", None) for part in command.params)]
        for text in filter(None, texts):
            for bracketed in re.findall(r"\[+[^\s\]]+\]+", text.replace("\\[", "[")):
                assert bracketed in shown
        assert "completion" not in shown


def test_help_of_serve_names_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", "--help"]) == 0
    assert capsys.readouterr().out.count("[[streams]]") == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == "moae-streamer 0.2.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["wieghts"],
            "error: No such command 'wieghts'. Did you mean 'weights'?. See streamer --help\n",
        ),
        (["--nope"], "error: No such option: --nope. See streamer --help\n"),
        (
            ["tail", ""],
            "error: Invalid value for 'SOURCE': it is empty: give a file, an address, or - for "
            "standard input. See streamer tail --help\n",
        ),
        (["schema", "--nope"], "error: No such option: --nope. See streamer schema --help\n"),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.replace("?.", "?") == message.replace("?.", "?")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tail", "--json-logs", "--nope"], 2),
        (["tail", "--json-logs", "missing.mkv"], 21),
        (["tail", "--config", "settings.toml", "missing.mkv"], 21),
        (["serve", "--config", "settings.toml"], 10),
        (["worker", "--config", "settings.toml"], 10),
    ],
)
def test_what_ends_a_command_is_json_among_json_lines(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").write_text(
        'streams = "none"\n[logging]\njson_logs = true\n'
        '[kafka]\nsasl_mechanism = "PLAIN"\nusername = "a"\npassword = "b"\n'
    )
    # Serving blocks signals, which other tests' programs would inherit.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        assert cli.run(arguments) == code
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    *_, last = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert last["exit_code"] == code


def failing(error: BaseException) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def boom() -> None:
        raise error

    return app


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, arguments: list[str]) -> int:
    command = get_command(failing(error))
    monkeypatch.setattr(cli, "load", lambda name: command)
    return cli.run(arguments)


def every_error() -> list[type[StreamerError]]:
    found, left = [], [StreamerError]
    while left:
        kind = left.pop()
        found.append(kind)
        left += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_each_error_is_one_line_with_its_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[StreamerError],
) -> None:
    assert run_with(monkeypatch, kind("it\nbroke"), ["tail"]) == kind.exit_code
    assert capsys.readouterr().err == "error: it broke\n"


def test_exit_codes_are_distinct() -> None:
    codes = [kind.exit_code for kind in every_error()]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 2, 70, 130}


@pytest.mark.parametrize("arguments", [["--debug", "tail"], ["tail", "--debug"]])
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run_with(monkeypatch, NotMedia("no film"), arguments) == 25
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("error: no film\n")


def test_surprises_are_one_line_and_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, ZeroDivisionError("oh"), ["tail"]) == 70
    assert capsys.readouterr().err == (
        "error: internal: ZeroDivisionError: oh (run again with --debug for the traceback)\n"
    )


def test_interrupts_are_130_and_lost_readers_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, KeyboardInterrupt(), ["tail"]) == 130
    assert run_with(monkeypatch, ConsumerGone("stdout"), ["tail"]) == 0
    assert run_with(monkeypatch, typer.Exit(7), ["tail"]) == 7
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("module", ["typer", "rich.console", "pydantic", "torch", "av"])
def test_an_interrupt_while_modules_load_ends_quietly(module: str, tmp_path: Path) -> None:
    # The import itself sends the signal, so that it always comes in the middle of it.
    program = (
        "import os, runpy, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['streamer', 'tail', sys.argv[1]]\n"
        "runpy.run_module('streamer', run_name='__main__')\n"
    )
    film = tmp_path / "film.mkv"
    film.write_bytes(b"not reached")
    done = subprocess.run(
        [sys.executable, "-c", program, str(film)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_debug_after_a_double_dash_is_an_argument() -> None:
    assert cli._debug_first(["tail", "--", "--debug"]) == (["tail", "--", "--debug"], False)
    assert cli._debug_first(["tail", "x", "--debug"]) == (["--debug", "tail", "x"], True)


def test_errors_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert handle(NotMedia("no film"), json_logs=True) == 25
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"], line["exit_code"]) == ("error", "no film", 25)


def test_colours_only_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    handle(NotMedia("no film"))
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")
    handle(NotMedia("no film"))
    assert capsys.readouterr().err == "error: no film\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n b\t c", "a b c"),
        ("\x1b[2Jfilm", "\\x1b[2Jfilm"),
        ("bad\udcff", "bad\\udcff"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("Amélie", "Amélie"),
    ],
)
def test_hostile_text_is_harmless(text: str, line: str) -> None:
    assert one_line(text) == line
    assert len(one_line("x" * 10_000)) == 2000


def shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command with a descriptor closed or a full disk."""
    words = [sys.executable, "-m", "streamer", *arguments]
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


PRINTING = [["--help"], ["--version"], ["schema"], ["weights", "list"], ["tail", "--help"]]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_an_output_that_takes_nothing_is_an_error_of_delivery(
    arguments: list[str], redirection: str, reason: str
) -> None:
    done = shell(redirection, *arguments)
    assert (done.returncode, done.stderr) == (
        50,
        f"error: standard output: not written: {reason}\n",
    )


def test_a_standard_input_that_is_closed_is_no_input(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes.csv"
    scenes.write_text("start,end\n0,5\n5,9\n")
    for arguments, code, told in (
        (["tail", "-"], 21, "error: -: standard input is closed\n"),
        (["probe", "-"], 21, "error: -: standard input is closed\n"),
        (["compare", "-", str(scenes)], 60, "error: standard input is closed\n"),
    ):
        done = shell("<&-", *arguments)
        assert (done.returncode, done.stderr) == (code, told)


def test_a_reader_that_left_ends_a_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "streamer", "schema"], stdout=pipe, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (0, b"")
