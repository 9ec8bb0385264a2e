"""All networks of a process, shared by its streams."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from streamer.aspects.batching import BatchPolicy, SharedExtractor, Told

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from streamer.extractor import Extractor


class SharedExtractors:
    """All extractors of a process, shared by its streams.

    Args:
        extractors: One per aspect.
        policy: How calls are merged.
        at_once: Networks that may run at the same time.
        told: Hears of every pass.
    """

    def __init__(
        self,
        extractors: Iterable[Extractor],
        policy: BatchPolicy,
        *,
        at_once: int,
        told: Told | None = None,
    ) -> None:
        gate = threading.Semaphore(at_once)
        self._shared = tuple(SharedExtractor(each, policy, gate, told) for each in extractors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def views(self, stream: str) -> tuple[Extractor, ...]:
        """The extractors as one stream sees them; `release` them when it goes."""
        return tuple(each.view(stream) for each in self._shared)

    def release(self, stream: str) -> None:
        """Says that a stream has gone."""
        for each in self._shared:
            each.release(stream)

    def close(self) -> None:
        """Ends all threads; calls that still wait fail."""
        for each in self._shared:
            each.close()
