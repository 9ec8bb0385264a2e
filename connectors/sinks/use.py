"""What a sink may need to know besides its location."""

from __future__ import annotations

import threading
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
        hurry: Set once nobody waits for delivery any more: sinks that keep events go on with
            those later, and whatever still blocks fails.
    """

    stream: str = "stream"
    kafka: KafkaSection = field(default_factory=KafkaSection)
    warn: Callable[[str], None] = _nobody
    hurry: threading.Event = field(default_factory=threading.Event)
