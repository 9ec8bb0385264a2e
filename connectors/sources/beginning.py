"""What a file begins with, by which it is known again."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path

PIECE: Final = 64 << 10
LEAST: Final = 4 << 10
"""A shorter second piece might be padding alone, which says nothing."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A piece near the start of a file.

    A file that grows keeps it, and so does a copy elsewhere; another recording of that name has
    other bytes there. Recorders of Matroska and FLV write their header anew at the end, so the
    piece lies behind the first 64 KiB as soon as there is enough.

    Attributes:
        offset: Of its first byte.
        length: In bytes, at most 64 KiB.
        digest: SHA-256 in hexadecimal digits.
        size: Of the whole file then, in bytes.
    """

    offset: int
    length: int
    digest: str
    size: int

    @classmethod
    def of(cls, descriptor: int) -> Self:
        """Reads it from an open file, whose position stays.

        Raises:
            OSError: The file cannot be read.
        """
        size = os.fstat(descriptor).st_size
        offset = PIECE if size >= PIECE + LEAST else 0
        data = os.pread(descriptor, min(PIECE, size - offset), offset)
        return cls(offset, len(data), hashlib.sha256(data).hexdigest(), size)

    def fits(self, path: Path) -> bool:
        """Whether a file may be this one: the same piece, and no shorter than it was."""
        try:
            # A pipe would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size < self.size:
                return False
            data = os.pread(descriptor, self.length, self.offset)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return hashlib.sha256(data).hexdigest() == self.digest
