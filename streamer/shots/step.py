"""The answer of every splitter."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamer.timeline import Instant, Shot

MAX_DELAY: Final = Fraction(20)
"""Most seconds by which the latest picture may be ahead of one that is not decided yet: where
pictures are rare, a cut is decided after fewer of them. Sound waits for it in memory."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one more picture or block of sound has decided.

    Attributes:
        closed: Shots that are now closed, oldest first.
        watermark: Every later cut lies at or after this; only grows. Of pictures, at most
            `MAX_DELAY` before the latest.
    """

    closed: tuple[Shot, ...]
    watermark: Instant
