"""What shared batching measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.metrics import catalogue as names
from streamer.metrics.series import Bounded

if TYPE_CHECKING:
    from streamer.metrics.series import Series

_ASPECTS: Final = 64


class BatchMetrics:
    """Sizes and waits of batches by aspect.

    Args:
        series: All metrics.
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._aspects = Bounded(_ASPECTS)

    def passed(self, aspect: str, rows: int, waited: float) -> None:
        """A pass went through a network.

        Args:
            aspect: Its slot.
            rows: Pieces.
            waited: Seconds that the piece which came first had waited.
        """
        label = self._aspects(aspect)
        self._series.histogram(names.BATCH_ROWS, label).observe(rows)
        self._series.histogram(names.BATCH_WAIT, label).observe(waited)
