"""config.toml lists every option with its default and a comment, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from streamer.config import Settings, load_settings
from streamer.config.describe import keys

FILE = Path(__file__).parents[3] / "config.toml"
ACTIVE = re.compile(r"^(\w+) = ")
SECTION = re.compile(r"^\[([\w.]+)\]$")
COMMENTED = re.compile(r"^# (\w+) = (.+)$")


def flat(table: dict[str, Any], parents: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, (*parents, key))
        else:
            found[".".join((*parents, key))] = value
    return found


def documented() -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Active values, commented-out examples, and keys without a comment line above."""
    active = flat(tomllib.loads(FILE.read_text("utf-8")))
    examples: dict[str, str] = {}
    bare: list[str] = []
    section, previous = "", ""
    for line in FILE.read_text("utf-8").splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif found := COMMENTED.match(line):
            examples[f"{section}.{found[1]}"] = found[2]
            if not previous.startswith("# "):
                bare.append(f"{section}.{found[1]}")
        elif (found := ACTIVE.match(line)) and not previous.startswith("# "):
            bare.append(f"{section}.{found[1]}")
        previous = line
    return active, examples, bare


def test_every_option_is_listed_once_and_no_other() -> None:
    active, examples, _ = documented()
    assert sorted([*active, *examples]) == sorted(keys())


def test_listed_values_are_the_defaults() -> None:
    active, examples, _ = documented()
    defaults = flat(Settings().model_dump(mode="json"))
    assert active == {key: value for key, value in defaults.items() if value is not None}
    assert set(examples) == {key for key, value in defaults.items() if value is None}


def test_every_option_has_a_comment() -> None:
    assert documented()[2] == []


def test_the_file_and_its_examples_load(tmp_path: Path) -> None:
    assert load_settings(FILE) == Settings()
    opened = tmp_path / "all.toml"
    lines = FILE.read_text("utf-8").splitlines()
    opened.write_text(
        "\n".join(line.removeprefix("# ") if COMMENTED.match(line) else line for line in lines)
    )
    settings = load_settings(opened)
    assert settings.segment.lookahead == 2
    assert settings.output.file == Path("events.jsonl")
