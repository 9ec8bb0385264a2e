"""Whatever is given for whichever option: one line, the right exit code, and no library's words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from streamer.cli.app import COMMANDS, load, run

# Longer than a name and than a path may be, NUL, bytes that are no UTF-8, and numbers in excess.
HOSTILE = (
    "a\0b", "\udcff", "x" * 300, "x/" * 3000, "\x01\x1b[31m", "a\nb", "", "9" * 5000,
    "1e999999", "-1", "9" * 5000 + "x2", "file:///a%00b", "kafka://h:1/\0", "http://[::1",
)  # fmt: skip
# What ends at once when nothing is wrong with it: there is no film, no data set and no broker.
WORDS = {
    "tail": ["{text}"],
    "serve": ["--config", "{settings}"],
    "probe": ["{text}"],
    "worker": [],
    "streams add": ["news", "location"],
    "streams remove": ["news"],
    "streams list": [],
    "consume": ["--from", "kafka://127.0.0.1:1/topic"],
    "topics create": ["kafka://127.0.0.1:1/topic"],
    "spool list": [],
    "spool send": [],
    "spool remove": ["none.spool"],
    "compare": ["{text}", "{text}"],
    "schema": [],
    "weights pull": ["--offline"],
    "weights add": ["place", "{text}", "--sha256", "00"],
    "weights verify": [],
    "compose": ["--media", "{folder}", "--out", "{folder}/out"],
    "extract": ["{text}", "--out", "{folder}/out"],
    "train": ["{folder}", "--out", "{folder}/out"],
    "evaluate": ["{folder}"],
    "tables": ["{folder}", "--out", "{folder}/out"],
    "calibrate": ["{folder}", "--checkpoint", "{folder}/none"],
}


def command_of(name: str) -> Any:
    first, _, below = name.partition(" ")
    command = load(first)
    return command.commands[below] if below else command


def test_every_command_is_tried() -> None:
    names = set()
    for name in COMMANDS:
        below = getattr(load(name), "commands", {})
        names |= {f"{name} {one}" for one in below} or {name}
    # These take nothing, or only what the others take too.
    spared = {"devices", "plugins", "sample", "weights list"}
    assert {name for name in names if not name.startswith("bench")} - spared == set(WORDS)


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    text, folder, settings = tmp_path / "text.mp4", tmp_path / "folder", tmp_path / "settings.toml"
    text.write_bytes(b"no film\n" * 100)
    folder.mkdir()
    settings.write_text("")
    monkeypatch.chdir(tmp_path)
    for key, value in {
        "STREAMER_HOME": str(tmp_path / "home"),
        "STREAMER__RUNTIME__OFFLINE": "true",
        "STREAMER__KAFKA__CONNECT_SECONDS": "0.2",
        "STREAMER__SOURCE__OPEN_SECONDS": "0.5",
        "STREAMER__FLEET__BROKER": "kafka://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(key, value)
    return {"text": str(text), "folder": str(folder), "settings": str(settings)}


def check(words: list[str], code: int, error: str) -> None:
    shown = [word[:40] for word in words]
    assert code not in {1, 70}, (shown, error)
    assert error.count("\n") == (code != 0), (shown, error)
    assert error.isascii() or error.encode(), shown
    assert error == "" or error.startswith("error: "), (shown, error)
    assert all(letter.isprintable() or letter == "\n" for letter in error), (shown, error)
    for foreign in ("Traceback", "pydantic", "Errno", "Input should", "input_value", "internal"):
        assert foreign not in error, (shown, error)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_every_option_refuses_what_nobody_means(
    name: str, surroundings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    usual = [word.format(**surroundings) for word in WORDS[name]]
    parameters = [
        each
        for each in command_of(name).params
        if each.name != "help" and not getattr(each, "is_flag", False)
    ]
    places = [each.name for each in parameters if each.param_type_name == "argument"]
    tried = 0
    for parameter in parameters:
        for value in HOSTILE:
            if parameter.param_type_name == "option":
                words = [*usual, parameter.opts[-1], value]
            else:
                at = places.index(parameter.name)
                words = [*usual[:at], value, *usual[at + 1 :]]
            whole = [*name.split(), *words]
            code = run(whole)
            check(whole, code, capsys.readouterr().err)
            tried += 1
    assert tried == len(parameters) * len(HOSTILE)


@pytest.mark.slow
@pytest.mark.parametrize("value", [one for one in HOSTILE if one and "\0" not in one])
@pytest.mark.parametrize(
    "key",
    [
        "STREAMER_CONFIG",
        "STREAMER_HOME",
        "STREAMER__STREAM__NAME",
        "STREAMER__SEGMENT__CHECKPOINT",
        "STREAMER__OUTPUT__FILE",
        "STREAMER__OUTPUT__SINKS",
        "STREAMER__OUTPUT__EMIT",
        "STREAMER__KAFKA__SPOOL",
        "STREAMER__KAFKA__CA_FILE",
        "STREAMER__SOURCE__CA_FILE",
        "STREAMER__SHOTS__MAX_SECONDS",
        "STREAMER__ASPECTS__PLACE__NETWORK",
        "STREAMER__ASPECTS__EXTRA",
        "STREAMER__FLEET__BROKER",
        "STREAMER__HTTP__LISTEN",
    ],
)
def test_every_variable_refuses_what_nobody_means(
    key: str,
    value: str,
    surroundings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(os.environ, key, value)
    for words in (["tail", surroundings["text"]], ["spool", "list"]):
        check([*words, key, value], run(words), capsys.readouterr().err)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[shots]\nmax_seconds = " + "9" * 5000, "settings.toml: not valid TOML"),
        ("[shots]\nmax_seconds = 0x" + "f" * 5000, "more than 64 bits"),
        ("[shots]\nmax_seconds = -0x" + "f" * 5000, "settings.toml: not valid TOML"),
        ('[output]\nfile = "a\\u0000b"', "output.file"),
        ('[output]\nsinks = ["a\\u0000b"]', "output.sinks"),
        ('[segment]\ncheckpoint = "a\\u0000b"', "segment.checkpoint"),
        ('[stream]\nname = "a\\u0007b"', "stream.name"),
        ('["a\\u0000b"]\nx = 1', "unknown key"),
        ('[shots]\n"a\\u001bb" = 1', "unknown key"),
        ('[output]\nsinks = ["file:///a%00b"]', "NUL"),
        ("[a.b]\n" + "x = {a=" * 3000, "not valid TOML"),
    ],
)
def test_settings_refuse_what_nobody_means(
    text: str,
    says: str,
    surroundings: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(surroundings["settings"]).write_text(text)
    words = ["tail", surroundings["text"], "--config", surroundings["settings"]]
    code = run(words)
    error = capsys.readouterr().err
    check(words, code, error)
    assert code in {10, 50}
    assert says in error
