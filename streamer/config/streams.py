"""Read the ``[[streams]]`` of ``streamer serve`` from a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    SecretStr,
    ValidationError,
    field_validator,
)

from streamer.config.load import read_toml
from streamer.config.sections import EmitList, Locations, Section, Unit
from streamer.errors import ConfigError
from streamer.wire import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streamer.config.settings import Settings

KEY: Final = "streams"


def _addressable(name: str) -> str:
    """Reject names that are folders in an address."""
    if name in {".", ".."}:
        raise ValueError("a stream cannot be called . or ..: no address reaches it")
    return name


Name = Annotated[str, Field(pattern=r"^[\w.@~-][\w.@~ -]{0,198}$"), AfterValidator(_addressable)]


class StreamEntry(Section):
    """Hold the settings of one stream.

    Attributes:
        name: In events, metrics and addresses: letters, digits and ``._@~-``, spaces inside.
        source: As ``streamer tail`` takes it. It may hold a password and is never shown.
        sinks: Locations that events are sent to, at least one.
        emit: Kinds of events; those of ``[output]`` when None.
        threshold: That of ``[segment]`` when None.
        lookahead: That of ``[segment]`` when None.
        follow: Wait for a growing file; as in ``[source]`` when None.
        idle_timeout: With ``follow``; that of ``[source]`` when None.
        realtime: Play a file in real time; as in ``[source]`` when None.
    """

    name: Name
    source: SecretStr = Field(min_length=1)
    sinks: Locations = Field(min_length=1)
    emit: EmitList | None = None
    threshold: Unit | None = None
    lookahead: int | None = Field(default=None, ge=0, le=9)
    follow: bool | None = None
    idle_timeout: PositiveFloat | None = None
    realtime: bool | None = None

    @field_validator("source")
    @classmethod
    def _not_stdin(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() == "-":
            raise ValueError("several streams cannot share standard input")
        return value

    def settings(self, base: Settings) -> Settings:
        """Return the file's settings, overridden by those of the stream."""
        source = {
            key: value
            for key in ("follow", "idle_timeout", "realtime")
            if (value := getattr(self, key)) is not None
        }
        output: dict[str, object] = {"sinks": self.sinks, "file": None}
        if self.emit is not None:
            output["emit"] = self.emit
        own = {"threshold": self.threshold, "lookahead": self.lookahead}
        segment = {key: value for key, value in own.items() if value is not None}
        return base.model_copy(
            update={
                "stream": base.stream.model_copy(update={"name": self.name}),
                "source": base.source.model_copy(update=source),
                "output": base.output.model_copy(update=output),
                "segment": base.segment.model_copy(update=segment),
            }
        )

    def text(self) -> str:
        """Return the entry as JSON with its source, for files that only their owner reads."""
        fields = self.model_dump(mode="json", exclude={"source"}, exclude_none=True)
        return json.dumps(fields | {"source": self.source.get_secret_value()})


def parse_entry(text: str | bytes, origin: str) -> StreamEntry:
    """Parse one stream from JSON.

    Args:
        text: An object.
        origin: The source to name in errors.

    Raises:
        ConfigError: It is not such an object; the message holds no values.
    """
    try:
        return StreamEntry.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{origin}: {key + ': ' if key else ''}{in_words(first)}") from None


def load_streams(config: Path) -> tuple[StreamEntry, ...]:
    """Read every ``[[streams]]`` of a file.

    Raises:
        ConfigError: The file cannot be read, an entry is wrong, or a name is used twice.
    """
    table = read_toml(config).get(KEY, [])
    if not isinstance(table, list) or not all(isinstance(entry, dict) for entry in table):
        raise ConfigError(f"{config}: streams: write one [[streams]] table for each")
    entries: dict[str, StreamEntry] = {}
    for number, values in enumerate(table, 1):
        text = json.dumps(values, default=lambda value: [str(value)])
        entry = parse_entry(text, f"{config}: streams {_entry_label(values, number)}")
        if entry.name in entries:
            raise ConfigError(f"{config}: two streams are called {entry.name}")
        entries[entry.name] = entry
    return tuple(entries.values())


def _entry_label(values: Mapping[str, object], number: int) -> str:
    name = values.get("name")
    return f"{number} ({name})" if isinstance(name, str) and len(name) <= 200 else str(number)
