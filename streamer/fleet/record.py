"""Write closed shots as Kafka records and read them.

A record is a seal (`streamer.saved`) of kind ``shot``, version 2. Its header is JSON, its body the
tokens: aspect after aspect in the header's order, row by row, little-endian, without padding.
``docs/kafka.md`` has the layout for readers in other languages.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.errors import StateDamaged, StateError
from streamer.pipeline.remember import dump_epoch, load_epoch
from streamer.saved import is_sealed, most_bytes, seal, unseal
from streamer.timeline import EmbeddedShot, Shot, ShotEnd
from streamer.wire import Ratio, WireInstant, in_words, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.pipeline.epoch import Epoch

MAX_BYTES: Final = most_bytes("shot")
"""Largest record that is read or written."""

# Of version 0.1.0: "MSHT", 1, no flags, the header's length, and a CRC-32 of all behind it.
_FIRST: Final = struct.Struct("<4sHHII")
_HALF: Final = float(np.finfo(np.float16).max)

Reason = Literal[
    "garbage", "version", "too-large", "wrong-key", "jumps-back", "stale-epoch", "unfit"
]
"""Why a record is a dead letter."""

Count = Annotated[int, Field(ge=0, le=1 << 53)]
Kind = Literal["f2", "f4"]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record as it lies in a topic.

    Attributes:
        partition: Where.
        offset: Where in the partition.
        key: Its key.
        value: Its value.
        time: When the broker took it, seconds since the Unix epoch; 0 when not known.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    time: float = 0.0


class RecordRefused(Exception):
    """A record is none that can be used.

    Attributes:
        reason: One word from a fixed list.
        detail: What exactly, in one line.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ShotRecord:
    """A closed shot of a stream, or the stream's end.

    Attributes:
        stream: Whose; also the record's key.
        run: Which request to read the stream it belongs to; see `streamer.fleet.request`.
        sequence: Counts the stream's records over all epochs, from 0.
        epoch: Where it lies; every record repeats it, so that a reader may begin anywhere.
        shot: None at the end of the stream.
        wallclock: Of the shot's first picture, seconds since the Unix epoch, as the source says.
        arrival: Of the shot's first picture, seconds since the Unix epoch.
    """

    stream: str
    run: str
    sequence: int
    epoch: Epoch
    shot: EmbeddedShot | None
    wallclock: float | None = None
    arrival: float | None = None


class _Model(BaseModel):
    # Readers take headers that a later minor version added to.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Shot(_Model):
    index: Count
    start: WireInstant
    end: WireInstant
    ended_by: ShotEnd
    closed_at: Ratio
    compute_seconds: Annotated[float, Field(ge=0.0)]


class _Tokens(_Model):
    aspect: Annotated[str, Field(min_length=1, max_length=40)]
    rows: Annotated[int, Field(ge=1, le=65_536)]
    dim: Annotated[int, Field(ge=1, le=65_536)]
    type: Kind

    @property
    def size(self) -> int:
        return self.rows * self.dim * (2 if self.type == "f2" else 4)


class _Header(_Model):
    kind: Literal["shot", "end"]
    stream: Annotated[str, Field(min_length=1, max_length=200)]
    run: Annotated[str, Field(max_length=64)]
    sequence: Count
    epoch: dict[str, object]
    shot: _Shot | None = None
    wallclock: float | None = None
    arrival: float | None = None
    tokens: tuple[_Tokens, ...] = ()


def encode(record: ShotRecord) -> bytes:
    """Writes a record.

    Tokens are rounded to float16; an aspect that does not fit its range stays float32.

    Raises:
        ValueError: It is larger than `MAX_BYTES`, or its header than 64 KiB.
    """
    shot = record.shot
    tokens: list[_Tokens] = []
    blocks: list[bytes] = []
    for aspect, rows in {} if shot is None else sorted(shot.tokens.items()):
        small = bool(np.abs(rows).max(initial=0.0) <= _HALF)
        kind: Kind = "f2" if small else "f4"
        tokens.append(_Tokens(aspect=aspect, rows=rows.shape[0], dim=rows.shape[1], type=kind))
        blocks.append(rows.astype(f"<{kind}").tobytes())
    header = _Header(
        kind="end" if shot is None else "shot",
        stream=record.stream,
        run=record.run,
        sequence=record.sequence,
        epoch=json.loads(dump_epoch(record.epoch)),
        shot=None if shot is None else _describe(shot),
        wallclock=record.wallclock,
        arrival=record.arrival,
        tokens=tuple(tokens),
    )
    text = header.model_dump_json(exclude_none=True)
    return seal("shot", text, b"".join(blocks))


def decode(value: bytes | None) -> ShotRecord:
    """Reads a record.

    Raises:
        RecordRefused: It is damaged, too large or of another version.
    """
    if value is None:
        raise RecordRefused("garbage", "not a shot record: empty")
    if len(value) > MAX_BYTES:
        raise RecordRefused("too-large", f"{len(value)} bytes; at most {MAX_BYTES}")
    try:
        text, body = unseal(value, "shot", "shot record") if is_sealed(value) else _first(value)
    except StateDamaged as error:
        raise RecordRefused("garbage", str(error)) from error
    except StateError as error:
        raise RecordRefused("version", str(error)) from error
    try:
        header = _Header.model_validate_json(text)
        epoch = load_epoch(json.dumps(header.epoch))
        if (header.kind == "shot") != (header.shot is not None):
            raise ValueError("a shot without its place")
        shot = (
            None if header.shot is None else _shot(header.shot, _blocks(header, memoryview(body)))
        )
    except (ValidationError, StateError, ValueError) as error:
        detail = in_words(error.errors()[0]) if isinstance(error, ValidationError) else str(error)
        raise RecordRefused("garbage", detail) from error
    return ShotRecord(
        header.stream,
        header.run,
        header.sequence,
        epoch,
        shot,
        header.wallclock,
        header.arrival,
    )


def _first(value: bytes) -> tuple[bytes, bytes]:
    """Take a record of version 0.1.0 apart."""
    if len(value) < _FIRST.size or not value.startswith(b"MSHT"):
        raise StateDamaged("shot record: neither MOAE nor MSHT")
    _, version, flags, length, checksum = _FIRST.unpack_from(value)
    content = value[_FIRST.size :]
    if version != 1 or flags or length > len(content) or zlib.crc32(content) != checksum:
        raise StateDamaged("shot record: damaged: its checksum does not match")
    return content[:length], content[length:]


def _describe(embedded: EmbeddedShot) -> _Shot:
    shot = embedded.shot
    return _Shot(
        index=shot.index,
        start=WireInstant.of(shot.start),
        end=WireInstant.of(shot.end),
        ended_by=shot.ended_by,
        closed_at=ratio(embedded.closed_at),
        compute_seconds=embedded.compute_seconds,
    )


def _shot(saved: _Shot, tokens: dict[str, NDArray[np.float32]]) -> EmbeddedShot:
    shot = Shot(saved.index, saved.start.instant(), saved.end.instant(), saved.ended_by)
    if shot.end < shot.start:
        raise ValueError("a shot that ends before it starts")
    return EmbeddedShot(shot, tokens, Fraction(saved.closed_at), saved.compute_seconds)


def _blocks(header: _Header, body: memoryview) -> dict[str, NDArray[np.float32]]:
    if sum(each.size for each in header.tokens) != len(body):
        raise ValueError("the tokens are not as long as the header says")
    tokens: dict[str, NDArray[np.float32]] = {}
    at = 0
    for each in header.tokens:
        flat = np.frombuffer(body[at : at + each.size], dtype=f"<{each.type}")
        rows = flat.astype(np.float32).reshape(each.rows, each.dim)
        if each.aspect in tokens or not np.isfinite(rows).all():
            raise ValueError(f"tokens of {each.aspect} come twice or are not finite")
        tokens[each.aspect] = rows
        at += each.size
    return tokens
