"""Seal what outlasts a process: saved state, shot records and spooled events, all in one form.

All numbers are little-endian.

    offset  size  what
    0       4     "MOAE"
    4       2     version of this form, 1
    6       2     version of the kind
    8       8     kind, ASCII, padded with zeros
    16      4     length H of the header
    20      4     length B of the body
    24      32    SHA-256 of bytes 0 to 23 and of everything from offset 56
    56      H     header, JSON, UTF-8; may be empty
    56+H    B     body: bytes, or arrays in the safetensors format

Later versions keep bytes 0 to 55 as they are, so that damage is told from a newer version.
SHA-256 and not CRC-32: a CRC misses one random damage in 2^32 and is the same for many simple ones;
a state of 200 kB costs 0.2 ms.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from streamer.errors import StateDamaged, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

Kind = Literal["stream", "epoch", "segments", "window", "shot", "spool", "event"]

MAGIC: Final = b"MOAE"
_FORM: Final = 1
_PREFIX: Final = struct.Struct("<4sHH8sII")
_DIGEST: Final = 32
OVERHEAD: Final = _PREFIX.size + _DIGEST
"""Bytes of a seal around header and body."""


class _Limits(NamedTuple):
    version: int
    header: int
    whole: int


_KINDS: Final[dict[Kind, _Limits]] = {
    # A stream's state on disk; the epoch alone; its window of shots; the same as a fleet keeps it.
    "stream": _Limits(1, 1 << 20, 64 << 20),
    "epoch": _Limits(1, 4 << 10, 8 << 10),
    "segments": _Limits(1, 1 << 20, 16 << 20),
    "window": _Limits(1, 64 << 10, 17 << 20),
    # A closed shot as a record; what a spool is for; an event in it.
    "shot": _Limits(2, 64 << 10, 1 << 20),
    "spool": _Limits(1, 64 << 10, 64 << 10),
    "event": _Limits(1, 0, 1 << 30),
}


class Sealed(NamedTuple):
    """The content of a seal.

    Attributes:
        header: JSON; the kind's model checks it.
        body: Bytes.
    """

    header: bytes
    body: bytes


def is_sealed(data: bytes) -> bool:
    """Say whether data are in this form, damaged or not; 0.1.0 wrote other ones."""
    return data.startswith(MAGIC)


def most_bytes(kind: Kind) -> int:
    """Return the size of the largest seal of a kind."""
    return _KINDS[kind].whole


def seal(kind: Kind, header: str = "", body: bytes = b"") -> bytes:
    """Write header and body so that `unseal` notices any change.

    Raises:
        ValueError: They are larger than the kind's limits.
    """
    limits, text = _KINDS[kind], header.encode()
    if len(text) > limits.header or OVERHEAD + len(text) + len(body) > limits.whole:
        raise ValueError(f"{len(text)} + {len(body)} bytes are too many for a saved {kind}")
    prefix = _PREFIX.pack(MAGIC, _FORM, limits.version, kind.encode(), len(text), len(body))
    content = text + body
    return prefix + _digest(prefix, content) + content


def unseal(data: bytes, kind: Kind, place: object) -> Sealed:
    """Read what `seal` wrote.

    Args:
        data: All of it.
        kind: What it has to be.
        place: Where it was found, for errors.

    Raises:
        StateDamaged: It is changed, cut, too large or of another kind.
        StateError: A newer version of the program wrote it.
    """
    limits = _KINDS[kind]
    if len(data) > limits.whole:
        raise StateDamaged(f"{place}: {len(data)} bytes are too large for a saved {kind}")
    if len(data) < OVERHEAD or not is_sealed(data):
        raise StateDamaged(f"{place}: not a saved {kind}, or cut off")
    prefix, content = data[: _PREFIX.size], data[OVERHEAD:]
    _, form, version, name, head, body = _PREFIX.unpack(prefix)
    if data[_PREFIX.size : OVERHEAD] != _digest(prefix, content):
        raise StateDamaged(f"{place}: damaged: its checksum does not match")
    if form != _FORM or (name == _name(kind) and version > limits.version):
        raise StateError(
            f"{place}: written by a newer version of this program; use that one, or move it away"
        )
    if name != _name(kind) or version != limits.version:
        raise StateDamaged(f"{place}: not a saved {kind} of version {limits.version}")
    if head > limits.header or head + body != len(content):
        raise StateDamaged(f"{place}: its lengths do not match")
    return Sealed(content[:head], content[head:])


def read_file(path: Path, kind: Kind) -> bytes:
    """Read a file that may hold a seal of a kind, at most one byte more than that can have.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(most_bytes(kind) + 1)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write named arrays as a body."""
    import safetensors.numpy

    return safetensors.numpy.save(dict(arrays))


def unpack_arrays(body: bytes, place: object) -> dict[str, NDArray[Any]]:
    """Read what `pack_arrays` wrote.

    Raises:
        StateDamaged: These are no arrays.
    """
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load(body)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StateDamaged(f"{place}: its arrays are damaged") from error


def _name(kind: Kind) -> bytes:
    return kind.encode().ljust(8, b"\0")


def _digest(prefix: bytes, content: bytes) -> bytes:
    digest = hashlib.sha256(prefix)
    digest.update(content)
    return digest.digest()
