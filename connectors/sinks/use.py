"""What a sink may need to know besides its location."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamer.config.sections import KafkaSection

if TYPE_CHECKING:
    from collections.abc import Callable


def _nobody(message: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class SinkUse:
    """The stream, its settings, and somebody to tell.

    Attributes:
        stream: Whose events come.
        kafka: The section ``[kafka]``.
        warn: Takes one line for people, from any thread.
    """

    stream: str = "stream"
    kafka: KafkaSection = field(default_factory=KafkaSection)
    warn: Callable[[str], None] = _nobody
