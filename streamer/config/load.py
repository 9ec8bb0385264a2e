"""Read settings from the command line, the environment and a TOML file."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from streamer.config.describe import allowed, secret, suggestion
from streamer.config.settings import Settings
from streamer.errors import ConfigError
from streamer.wire import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

PREFIX: Final = "STREAMER__"
FILE_VARIABLE: Final = "STREAMER_CONFIG"
MAX_FILE_BYTES: Final = 1 << 20
COMMAND_LINE: Final = "command line"
_MAX_SHOWN: Final = 60


def load_settings(
    config: Path | None = None, overrides: Mapping[str, object] | None = None
) -> Settings:
    """Merge the four sources: command line > environment > file > defaults.

    A file is read only when it is named, by ``config`` or else by the environment variable
    ``STREAMER_CONFIG``; a ``config.toml`` in the working folder is not.
    In the environment ``STREAMER__SHOTS__MAX_SECONDS=20`` sets ``shots.max_seconds``; an empty
    value counts as unset. Types in a file are strict (``"30"`` is not a number).

    Args:
        config: A TOML file.
        overrides: Dotted key → value from the command line; None counts as absent.

    Returns:
        Frozen settings.

    Raises:
        ConfigError: A file cannot be read, a key is unknown, or a value has a wrong type or
            range; the message names its source, the key, the value and what is allowed.
    """
    path = config or _path_from_environment()
    sources = [_options(overrides or {}, COMMAND_LINE), _environment()]
    if path is not None:
        sources.append(_file(path))
    return _merged(sources)


def make_settings(options: Mapping[str, object]) -> Settings:
    """Make settings from the defaults and some options, without reading the environment.

    Args:
        options: Dotted key → value; None counts as absent.

    Raises:
        ConfigError: A key is unknown, or a value has a wrong type or range.
    """
    return _merged([_options(options, "options")])


def _merged(sources: Sequence[_Source]) -> Settings:
    merged = Settings().model_dump()
    for source in reversed(sources):
        merged = _merge(merged, source.values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise _explain(error.errors(), sources) from error


@dataclass(frozen=True, slots=True)
class _Source:
    values: dict[str, Any]
    label: str
    from_environment: bool = False

    def location(self, path: Sequence[str]) -> str:
        return PREFIX + "__".join(path).upper() if self.from_environment else self.label

    def find(self, path: Sequence[str]) -> tuple[bool, object]:
        value: object = self.values
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return False, None
            value = value[part]
        return True, value


def _path_from_environment() -> Path | None:
    named = os.environ.get(FILE_VARIABLE)
    return Path(named) if named else None


def _options(options: Mapping[str, object], label: str) -> _Source:
    values: dict[str, Any] = {}
    for key, value in options.items():
        if value is None:
            continue
        *parents, leaf = key.split(".")
        table = values
        for parent in parents:
            table = table.setdefault(parent, {})
        table[leaf] = value
    return _Source(values, label)


def _environment() -> _Source:
    for name, value in os.environ.items():
        section = name[len(PREFIX) :].split("__")[0].lower()
        if name.upper().startswith(PREFIX) and value and section not in Settings.model_fields:
            parts = [part.lower() for part in name[len(PREFIX) :].split("__")]
            raise ConfigError(f"{name}: {_unknown(parts[:1])}")
    try:
        return _Source(EnvSettingsSource(Settings)(), "environment", from_environment=True)
    except SettingsError as error:
        raise ConfigError(f"environment: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        ConfigError: It cannot be read, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a configuration file")
    try:
        values = tomllib.loads(raw.decode("utf-8"))
        _check_integers(values)
    # Python raises a plain ValueError for an integer of more than 4,300 digits.
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return values


def _check_integers(value: object) -> None:
    """Reject integers beyond 64 bits, TOML's limit; Python does not limit hexadecimal ones."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("an integer of more than 64 bits")
    if isinstance(value, dict):
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        _check_integers(each)


def _file(path: Path) -> _Source:
    values = read_toml(path)
    # Only `streamer serve` uses them, and reads them itself.
    values.pop("streams", None)
    source = _Source(values, str(path))
    for name, table in values.items():
        if name not in Settings.model_fields:
            raise ConfigError(f"{path}: {_unknown([name])}")
        if details := _strict_violations(name, table):
            raise _explain(details, [source])
    return source


def _strict_violations(name: str, table: object) -> list[ErrorDetails]:
    section = getattr(Settings(), name)
    if isinstance(table, dict):
        table = _merge(section.model_dump(mode="json"), table)
    # In strict mode only JSON input lets text be a path and a list a tuple. Dates become a list of
    # text, which no setting accepts.
    text = json.dumps(table, default=lambda value: [str(value)])
    try:
        type(section).model_validate_json(text, strict=True)
    except ValidationError as error:
        # Rules between keys are checked once all sources are merged.
        found = [detail for detail in error.errors() if detail["type"] != "value_error"]
        for detail in found:
            detail["loc"] = (name, *detail["loc"])
        return found
    return []


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _explain(errors: Sequence[ErrorDetails], sources: Sequence[_Source]) -> ConfigError:
    path, text = _violation(errors[0])
    holder = next((source for source in sources if source.find(path)[0]), None)
    value = None if holder is None else holder.find(path)[1]
    # An error of a rule between keys concerns a whole table; its message has the values.
    whole = errors[0]["type"] == "value_error" and isinstance(value, dict)
    if holder is not None and errors[0]["type"] != "extra_forbidden" and not whole:
        shown = "***" if secret(path) else _shown(value)
        text = f"{'.'.join(path)} = {shown}: {text.removeprefix('.'.join(path) + ': ')}"
    location = holder.location(path) if holder is not None else "settings"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    error = ConfigError(f"{location}: {text}{more}")
    if holder is not None and holder.label == COMMAND_LINE:
        error.option = ".".join(path), _violation(errors[0])[1].removeprefix(".".join(path) + ": ")
    return error


def _violation(detail: ErrorDetails) -> tuple[list[str], str]:
    path = [part for part in detail["loc"] if isinstance(part, str)]
    if detail["type"] == "extra_forbidden":
        return path, _unknown(path)
    if detail["type"] == "value_error":
        return path, f"{'.'.join(path)}: {in_words(detail)}"
    try:
        return path, f"must be {allowed(path)}"
    except KeyError:
        return path, in_words(detail)


def _unknown(path: Sequence[str]) -> str:
    near = suggestion(path)
    hint = f"; did you mean {near}?" if near else ""
    return f"unknown key {'.'.join(path)}{hint}"


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except TypeError:
        text = str(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
