"""The answer of every splitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.timeline import Instant, Shot


@dataclass(frozen=True, slots=True)
class Step:
    """What one more picture or block of sound has decided.

    Attributes:
        closed: Shots that are now closed, oldest first.
        watermark: Every later cut lies at or after this; only grows.
    """

    closed: tuple[Shot, ...]
    watermark: Instant
